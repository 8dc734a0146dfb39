"""Locks that a killed compilation has left in the folders where torch builds extensions, DeepSpeed's too.

torch (2.13, `torch.utils.file_baton`) waits for such a file to vanish, for ever. Whoever builds has it open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LOCK = "lock"
# Where another machine's process may build, which cannot be seen from here.
SHARED = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "fuse")
_PROCESSES = Path("/proc")
_POLL_SECONDS = 0.2


def free_stale() -> list[str]:
    """Remove every such lock; notes on what was done, and on what a person has to decide.

    A compiler that outlived its killed parent is awaited first: two must not write the same files.
    """
    if not _PROCESSES.is_dir():  # no Linux
        return []
    return [note for lock in _locks(build_root()) if (note := _freed(lock))]


def build_root() -> Path:
    """Where torch builds: TORCH_EXTENSIONS_DIR, else below the user's cache."""
    if given := os.environ.get("TORCH_EXTENSIONS_DIR"):
        return Path(given)
    from torch.utils.cpp_extension import get_default_build_root

    return Path(get_default_build_root())


def _locks(root: Path) -> Iterator[Path]:
    """Of each extension; by default they are in a folder for this Python and device."""
    for pattern in (f"*/{LOCK}", f"*/*/{LOCK}"):
        yield from sorted(root.glob(pattern))


def _freed(lock: Path) -> str | None:
    with suppress(FileNotFoundError):  # its owner has released it
        found = lock.stat()
        if owner := _process(lock):
            return f"process {owner} compiles in {lock.parent}; this one waits for it"
        if _file_system(lock).startswith(SHARED):
            return (
                f"{lock} says that another process compiles there, and none of this machine does. Where no "
                f"other machine does either, a killed one has left it: remove that file, or this waits on"
            )
        while _process(lock.parent):
            time.sleep(_POLL_SECONDS)
        if lock.stat().st_ino == found.st_ino:
            lock.unlink()
            return f"{lock} was left by a killed compilation; it is removed, and compiling begins anew"
    return None


def _process(path: Path) -> str | None:
    """The id of a process of this machine that has the file open, or works in the folder."""
    wanted = os.path.realpath(path)
    for process in filter(str.isdigit, os.listdir(_PROCESSES)):
        with suppress(OSError):  # another user's, or it has just ended
            own = _PROCESSES / process
            for link in [own / "cwd"] if path.is_dir() else (own / "fd").iterdir():
                if os.readlink(link) == wanted:
                    return process
    return None


def _file_system(path: Path) -> str:
    """Its type, as the kernel names it."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        if Path(point) in path.resolve().parents and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind
