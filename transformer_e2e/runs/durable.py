"""Files and directories that another process reads are complete or absent, even after a power cut.

Written beside their place, flushed to disk, renamed. `DiskFull` says how much room is missing.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STAGING_PREFIX = ".staging-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The Rust library behind safetensors reports the same errors as text.
_FULL_TEXTS = ("StorageFull", "No space left on device", "QuotaExceeded", "FileTooLarge")


class DiskFull(Exception):
    """There is no room for a file. Nothing half-written is left; what was there before is untouched.

    Not a UserError: the input was right, so the exit code is 1 (`ExitCode.FAILED`), without a traceback.
    """


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by strict JSON (no NaN). Raises DiskFull, or ValueError for a number JSON lacks."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    with explain_full_disk(path.parent, needed=len(text)):
        descriptor, name = tempfile.mkstemp(prefix=STAGING_PREFIX, dir=path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())  # mkstemp's 0600 would lock colleagues out of shared records
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        fsync(path.parent)


def make_directory(path: Path) -> None:
    """Make `path` and whatever it lies in, on disk before this returns; nothing happens if it exists."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    fsync(path.parent)  # else a power cut takes it away with all that was flushed inside


def stage_directory(target: Path, fill: Callable[[Path], None], seal: Callable[[Path], Path]) -> Path:
    """A complete, flushed hidden sibling of `target`, ready for one rename.

    `seal(staging)` writes one more file and returns its path, when all that `fill(staging)` wrote is on
    disk. If one of them raises, KeyboardInterrupt included, the sibling is removed again. A kill leaves a
    `.staging-*` directory, which `remove_staging` deletes at the next start.
    """
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=target.parent))
    try:
        os.chmod(staging, 0o777 & ~_umask())
        fill(staging)
        for path in (*staging.rglob("*"), staging):
            fsync(path)
        fsync(seal(staging))
        fsync(staging)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return staging


def remove_staging(directory: Path) -> None:
    """Delete what killed writers left in `directory`. Only for the one process that may write there."""
    for path in directory.glob(f"{STAGING_PREFIX}*"):
        remove(path)


def remove(path: Path) -> None:
    """Delete a file, a link or a directory tree; nothing happens if it is gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Flush one file's content, or one directory's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tree_size(path: Path) -> int:
    """Bytes of the file, or of all files below the directory; links and what vanishes count 0."""
    if path.is_symlink():  # os.walk follows the link that it begins at
        return 0
    total = 0
    for file in [str(path)] + [os.path.join(at, name) for at, _, names in os.walk(path) for name in names]:
        try:
            status = os.lstat(file)
        except OSError:
            continue
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def in_words(size: int) -> str:
    """Bytes with a unit that keeps the number short: `812 B`, `12.3 kB`, `4.6 MB`, `1.2 GB`."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"


@contextmanager
def explain_full_disk(directory: Path, *, needed: int) -> Iterator[None]:
    """Turn "no space left", in whatever wrapping, into a DiskFull with the numbers in it.

    `needed` [bytes] is what the write takes altogether, or an estimate of it; 0: unknown.
    """
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        free = shutil.disk_usage(directory).free
        wanted = f"about {needed:,} bytes are needed, " if needed else ""
        raise DiskFull(
            f"the disk of {directory} is full: {wanted}{free:,} bytes are free. Nothing that was saved "
            f"before is lost; make room (or choose another --checkpoint_dir) and give the same command again"
        ) from error


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(text in str(error) for text in _FULL_TEXTS)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
