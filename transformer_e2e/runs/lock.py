"""One attempt at a time works on a trial; the kernel releases the lock however the process dies."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.durable import make_directory

LOCK_NAME = ".lock"
_POLL_SECONDS = 0.2
_GLANCE_SECONDS = 0.02  # somebody who only looks whether a trial is held (`is_held`) holds it for less


class TrialHeld(Exception):
    """Another live attempt holds the trial, and the caller does not want to wait."""


class TrialLock:
    """An exclusive flock on `directory/.lock`; makes the directory if need be.

    Safe between any number of processes, on one machine and on file systems that pass flock on (NFS since
    Linux 2.6.12). Waiting is polling, so a signal is honoured at once.
    """

    def __init__(self, directory: Path, *, no_wait: bool, say: Callable[[str], None]) -> None:
        """Raises TrialHeld if `no_wait` and the lock is taken; nothing is touched then.

        Raises CheckpointError if the directory cannot be made or written.
        """
        self.directory = directory
        made, refusals = not directory.exists(), 0
        while (descriptor := _try(directory)) is None:
            made, refusals = False, refusals + 1  # somebody else's by now
            if refusals > 1 and no_wait:
                raise TrialHeld(f"{directory.name} is held by {_holder(directory)}")
            if refusals == 2:
                holder = _holder(directory)
                say(f"{directory.name} is held by {holder}; waiting for it (--no_wait: exit instead)")
            time.sleep(_GLANCE_SECONDS if refusals == 1 else _POLL_SECONDS)
        # Another attempt may have come, lived and gone since we looked: what it left is not ours to remove.
        self.made_directory = made and os.listdir(directory) == [LOCK_NAME]
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)

    def remove_directory(self) -> None:
        """Undo the making of the directory, while the lock is still held."""
        shutil.rmtree(self.directory)


def is_held(directory: Path) -> bool:
    """Whether a live attempt holds the trial now. Changes nothing."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _try(directory: Path) -> int | None:
    """A descriptor that holds the lock; None: somebody else does, or the file vanished while we locked it.

    Raises CheckpointError if there can be no such file.
    """
    path = directory / LOCK_NAME
    try:
        make_directory(directory)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the directory was removed in between
            return None
    except OSError as error:
        raise CheckpointError(
            f"{directory} cannot be written: {error.strerror}; choose another --checkpoint_dir, or make this "
            f"one writable"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A holder that failed at its start removes the directory: a lock on a deleted file guards nothing.
        if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _holder(directory: Path) -> str:
    try:
        owner = json.loads((directory / LOCK_NAME).read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun, or just ended
        return "another process"
