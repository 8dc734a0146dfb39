"""The system calls of a command and of every thread and process it starts, as strace saw them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WRITES = "write,pwrite64,writev,pwritev,ftruncate,fallocate,copy_file_range,sendfile,mmap,lseek"
NAMES = "open,openat,creat,mkdir,mkdirat,symlink,symlinkat,link,linkat,rename,renameat,renameat2"
CALLS = f"{WRITES},{NAMES},unlink,unlinkat,rmdir,truncate,fsync,fdatasync"

_HEX = r"(?:\\x[0-9a-f]{2})*"
_LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\w+)", re.DOTALL)
_ARGUMENT = re.compile(
    rf"(?P<fd>\w+)<(?P<path>{_HEX})>(?P<gone>\(deleted\))?"
    rf'|"(?P<text>{_HEX})"(?P<cut>\.\.\.)?'
    r"|(?P<other>[^\s,\[\]{}\"][^,\[\]{}\"]*)"
)


@dataclass(frozen=True)
class Argument:
    """One argument: `text` of a string, or the path of a descriptor `fd` (empty: removed), or a `word`."""

    word: str = ""
    text: bytes | None = None
    fd: str | None = None

    @property
    def path(self) -> str:
        assert self.text is not None, self
        return self.text.decode()


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple[Argument, ...]
    result: int  # negative: it failed


@cache
def why_not() -> str | None:
    """The reason why no system calls can be recorded here; None if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed (Debian: apt-get install strace)"
    tried = subprocess.run(["strace", "-f", "--seccomp-bpf", "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"strace does not work here: {tried.stderr.strip()[:200]}"


def traced(command: list[str], log: Path) -> list[str]:
    """The command that runs `command` and writes its system calls, with all the data, to `log`."""
    options = ["-f", "--seccomp-bpf", "-y", "-xx", "-s", str(1 << 24), "-e", f"trace={CALLS}"]
    return ["strace", *options, "-e", "signal=none", "-o", str(log), *command]


def calls(log: Path, *places: str) -> Iterator[Call]:
    """The calls that name a path below one of `places`, in the order in which they returned."""
    wanted = [_hex(place) for place in places]
    begun: dict[str, str] = {}
    with log.open(encoding="ascii") as lines:
        for line in lines:
            pid, _, rest = line.rstrip("\n").partition(" ")
            rest = rest.lstrip()
            if rest.endswith("<unfinished ...>"):
                begun[pid] = rest.removesuffix("<unfinished ...>").rstrip()
                continue
            if rest.startswith("<... "):
                rest = begun.pop(pid) + rest.partition(" resumed>")[2]
            if any(place in rest for place in wanted) and (match := _LINE.match(rest)):
                yield Call(match[1], tuple(_arguments(match[2])), _number(match[3]))


def _arguments(text: str) -> Iterator[Argument]:
    for match in _ARGUMENT.finditer(text):
        assert match["cut"] is None, "strace left data out"
        if match["fd"] is not None:
            yield Argument(text=b"" if match["gone"] else _plain(match["path"]), fd=match["fd"])
        elif match["text"] is not None:
            yield Argument(text=_plain(match["text"]))
        elif word := match["other"].strip():
            yield Argument(word=word)


def _number(text: str) -> int:
    return -1 if text == "?" else int(text, 0)


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())
