"""What a disk may hold after a power cut, computed from recorded system calls.

A file's content is certain up to its last fsync, a directory's list of names up to the last fsync of that
directory; what came later may be there or not. Kinder and harsher disks than that are tried, too (`CUTS`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.strace_log import Argument, Call

# Path below the folder -> content of a file, None for a directory, text for the target of a link.
Tree = dict[str, bytes | str | None]


@dataclass(eq=False)
class Node:
    """A file, a directory or a link: as processes see it, and as the disk has it for certain."""

    target: str | None = None  # of a link
    names: dict[str, Node] | None = None  # of a directory
    synced_names: dict[str, Node] = field(default_factory=dict)
    data: bytes = b""
    synced: bytes | None = None  # None: never

    @property
    def begins_as_synced(self) -> bool:
        return self.data.startswith(self.synced or b"")


@dataclass(frozen=True)
class Change:
    """Names of one directory that change in one step; None: the name goes."""

    directory: Node
    names: dict[str, Node | None]


def _lost(node: Node) -> bytes:
    return node.synced or b""


def _zeros(node: Node) -> bytes:
    kept = _lost(node) if node.begins_as_synced else b""
    return kept + bytes(len(node.data) - len(kept))


def _torn(node: Node) -> bytes:
    kept = len(_lost(node)) if node.begins_as_synced else 0
    return node.data[: (kept + len(node.data)) // 2]


def _all(node: Node) -> bytes:
    return node.data


@dataclass(frozen=True)
class Cut:
    """One kind of disk: which of the unsynced changes of names, and what of unsynced data, it still has."""

    keep_name: Callable[[random.Random], bool]
    data: tuple[Callable[[Node], bytes], ...]  # one of them is drawn for each file


CUTS = {
    "only what was synced": Cut(lambda _: False, (_lost,)),
    "names in order, data lost": Cut(lambda _: True, (_lost,)),
    "names in order, data zero": Cut(lambda _: True, (_zeros,)),
    "names in order, data torn": Cut(lambda _: True, (_torn,)),
    "anything 1": Cut(lambda draw: draw.random() < 0.5, (_lost, _zeros, _torn, _all)),
    "anything 2": Cut(lambda draw: draw.random() < 0.5, (_lost, _zeros, _torn, _all)),
    "no power cut, but a kill": Cut(lambda _: True, (_all,)),
}


class Disk:
    """One folder as recorded calls change it."""

    def __init__(self, before: Path, *, seen_at: Path) -> None:
        """The folder was at `seen_at`, and held what `before` holds, synced long ago."""
        self.root = seen_at.resolve()
        self._top = _read(before)
        self._pending: list[Change] = []
        self._position: dict[tuple[Node, str], int | None] = {}  # of a descriptor; None: appends

    def apply(self, call: Call) -> bool:
        """Do what the call did; False if it changed nothing that a power cut could lose or keep."""
        if call.result < 0:
            return False
        handler = getattr(self, f"_{call.name}", None)
        if handler is None:
            raise NotImplementedError(f"{call.name} on {self.root}: {call.arguments[0]}")
        return bool(handler(call, list(call.arguments)))

    def after(self, cut: Cut, draw: random.Random) -> Tree:
        """What is on the disk if the power goes now."""
        names: dict[Node, dict[str, Node]] = {}
        for change in self._pending:
            if cut.keep_name(draw):
                now = names.setdefault(change.directory, dict(change.directory.synced_names))
                _change(now, change)
        return dict(self._walk(self._top, "", names, lambda node: draw.choice(cut.data)(node)))

    def _walk(
        self, node: Node, path: str, names: dict[Node, dict[str, Node]], content: Callable[[Node], bytes]
    ) -> Iterator[tuple[str, bytes | str | None]]:
        if node.names is None:
            yield path, node.target if node.target is not None else content(node)
            return
        if path:
            yield path, None
        for name, child in sorted(names.get(node, node.synced_names).items()):
            yield from self._walk(child, f"{path}/{name}" if path else name, names, content)

    # Names

    def _find(self, path: str) -> Node | None:
        """The node that processes see at an absolute path; None: there is none, or it is elsewhere."""
        found = self._parent(path)
        if found is None:
            return self._top if path == str(self.root) else None
        directory, name = found
        return (directory.names or {}).get(name)

    def _parent(self, path: str) -> tuple[Node, str] | None:
        if not path.startswith(f"{self.root}/"):
            return None
        *parts, name = os.path.normpath(path).removeprefix(f"{self.root}/").split("/")
        node = self._top
        for part in parts:
            if node.names is None or part not in node.names:
                return None
            node = node.names[part]
        return node, name

    def _set(self, path: str, node: Node | None) -> bool:
        found = self._parent(path)
        if found is None:
            return False
        self._record(Change(found[0], {found[1]: node}))
        return True

    def _record(self, change: Change) -> None:
        assert change.directory.names is not None
        _change(change.directory.names, change)
        self._pending.append(change)

    def _openat(self, call: Call, arguments: list[Argument]) -> bool:
        path, flags = _joined(arguments[0], arguments[1]), arguments[2].word
        return self._opened(path, flags, str(call.result))

    def _open(self, call: Call, arguments: list[Argument]) -> bool:
        return self._opened(arguments[0].path, arguments[1].word, str(call.result))

    def _opened(self, path: str, flags: str, descriptor: str) -> bool:
        node, made = self._find(path), False
        if node is None and "O_CREAT" in flags:
            node = Node()
            made = self._set(path, node)
        if node is None or not ("O_WRONLY" in flags or "O_RDWR" in flags):
            return made
        self._position[node, descriptor] = None if "O_APPEND" in flags else 0
        if "O_TRUNC" in flags and node.data:
            node.data, made = b"", True
        return made

    def _mkdir(self, call: Call, arguments: list[Argument]) -> bool:
        return self._set(arguments[0].path, Node(names={}))

    def _mkdirat(self, call: Call, arguments: list[Argument]) -> bool:
        return self._set(_joined(*arguments[:2]), Node(names={}))

    def _symlink(self, call: Call, arguments: list[Argument]) -> bool:
        return self._set(arguments[1].path, Node(target=arguments[0].path))

    def _unlink(self, call: Call, arguments: list[Argument]) -> bool:
        return self._set(arguments[0].path, None)

    _rmdir = _unlink

    def _unlinkat(self, call: Call, arguments: list[Argument]) -> bool:
        return self._set(_joined(*arguments[:2]), None)

    def _rename(self, call: Call, arguments: list[Argument]) -> bool:
        return self._renamed(arguments[0].path, arguments[1].path)

    def _renameat(self, call: Call, arguments: list[Argument]) -> bool:
        return self._renamed(_joined(*arguments[:2]), _joined(*arguments[2:4]))

    def _renameat2(self, call: Call, arguments: list[Argument]) -> bool:
        assert arguments[4].word in ("0", "RENAME_NOREPLACE"), arguments
        return self._renameat(call, arguments)

    def _renamed(self, source: str, target: str) -> bool:
        node, old, new = self._find(source), self._parent(source), self._parent(target)
        assert node is not None and old is not None and new is not None, (source, target)
        assert old[0] is new[0], f"a rename between directories is not modelled: {source} -> {target}"
        self._record(Change(old[0], {old[1]: None, new[1]: node}))
        return True

    # Content

    def _write(self, call: Call, arguments: list[Argument]) -> bool:
        node, descriptor = self._find(arguments[0].path), arguments[0].fd
        if node is None or descriptor is None:  # removed in between, or never ours
            return False
        data = b"".join(item.text for item in arguments[1:] if item.text is not None)[: call.result]
        position = self._position[node, descriptor]
        begin = len(node.data) if position is None else position
        _put(node, begin, data)
        if position is not None:
            self._position[node, descriptor] = begin + len(data)
        return True

    _writev = _write

    def _pwrite64(self, call: Call, arguments: list[Argument]) -> bool:
        node, data = self._find(arguments[0].path), arguments[1].text
        if node is None or data is None:
            return False
        _put(node, int(arguments[3].word), data[: call.result])
        return True

    def _lseek(self, call: Call, arguments: list[Argument]) -> bool:
        key = self._find(arguments[0].path), arguments[0].fd
        if self._position.get(key) is not None:  # type: ignore[arg-type]
            self._position[key] = call.result  # type: ignore[index]
        return False

    def _ftruncate(self, call: Call, arguments: list[Argument]) -> bool:
        node, size = self._find(arguments[0].path), int(arguments[1].word)
        if node is None:
            return False
        node.data = node.data[:size].ljust(size, b"\0")
        return True

    def _fallocate(self, call: Call, arguments: list[Argument]) -> bool:
        node, end = self._find(arguments[0].path), int(arguments[2].word) + int(arguments[3].word)
        assert arguments[1].word == "0", arguments
        if node is not None:
            node.data = node.data.ljust(end, b"\0")
        return node is not None

    def _mmap(self, call: Call, arguments: list[Argument]) -> bool:
        words = " ".join(item.word for item in arguments)
        assert "PROT_WRITE" not in words or "MAP_SHARED" not in words, "written through a map: not modelled"
        return False

    def _fsync(self, call: Call, arguments: list[Argument]) -> bool:
        node = self._find(arguments[0].path)
        if node is None:
            return False
        if node.names is None:
            node.synced = node.data
            return True
        node.synced_names = dict(node.names)
        self._pending = [change for change in self._pending if change.directory is not node]
        return True

    _fdatasync = _fsync


def read_tree(folder: Path) -> Tree:
    """What `folder` holds now."""
    tree: Tree = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        tree[name] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return tree


def write_tree(tree: Tree, folder: Path) -> None:
    """Make `folder`, which does not exist, with exactly what the tree says."""
    folder.mkdir()
    for path, content in tree.items():
        place = folder / path
        if content is None:
            place.mkdir()
        elif isinstance(content, str):
            place.symlink_to(content)
        else:
            place.write_bytes(content)


def _read(path: Path) -> Node:
    if path.is_symlink():
        return Node(target=os.readlink(path))
    if path.is_dir():
        names = {child.name: _read(child) for child in path.iterdir()}
        return Node(names=names, synced_names=dict(names))
    content = path.read_bytes()
    return Node(data=content, synced=content)


def _change(names: dict[str, Node], change: Change) -> None:
    for name, node in change.names.items():
        names.pop(name, None)
        if node is not None:
            names[name] = node


def _put(node: Node, begin: int, data: bytes) -> None:
    before = node.data[:begin].ljust(begin, b"\0")
    node.data = before + data + node.data[begin + len(data) :]


def _joined(directory: Argument, name: Argument) -> str:
    return os.path.normpath(os.path.join(directory.path, name.path))
