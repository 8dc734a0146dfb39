"""One server a root: its lock, what it publishes about itself, and whether anybody still uses it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from transformer_e2e.errors import LaunchError

_GLANCE_SECONDS = 0.05  # a command that only looks whether the root is taken holds its lock for less
FIRST_USER_PATIENCE = 60.0  # seconds in which the program that started an `--until_unused` server locks it


def take(root: Path) -> int:
    """Hold `root` until this process ends, however it ends. Raises LaunchError when another server does."""
    descriptor = os.open(root / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    free = _locked(descriptor)
    if not free:
        time.sleep(_GLANCE_SECONDS)
        free = _locked(descriptor)
    if not free:
        os.close(descriptor)
        running = published(root)
        where = f"at {running['url']} (process {running['pid']})" if running else "which is still starting"
        raise LaunchError(
            f"--root={root} is already served {where}; use that server, or give this one another --root"
        )
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def publish(root: Path, url: str) -> None:
    """Say in `server.json` where this server listens; complete or absent, like every file others read."""
    draft = root / f".server.json.{os.getpid()}"
    with draft.open("w") as file:
        json.dump({"url": url, "pid": os.getpid(), "started": time.time()}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, root / "server.json")


def published(root: Path) -> dict[str, Any] | None:
    """What the server of `root` last published, or None. After a kill -9 it may name a dead process."""
    try:
        found: dict[str, Any] = json.loads((root / "server.json").read_text())
    except (OSError, ValueError):
        return None
    return found


def withdraw(root: Path) -> None:
    (root / "server.json").unlink(missing_ok=True)


class Users:
    """Each program that needs the server holds a shared flock on `users.lock`, and so do its children; the
    kernel takes it back even after a kill -9."""

    def __init__(self, root: Path) -> None:
        self._descriptor = os.open(root / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._started = time.monotonic()
        self._seen = False

    def are_gone(self) -> bool:
        """Whether nobody uses the server any more: the last user left, or none came within a minute.

        Once this is true, no new user can take the lock before this process has ended.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._seen = True
            return False
        if self._seen or time.monotonic() - self._started > FIRST_USER_PATIENCE:
            return True  # still holding the lock: who comes now waits, and then starts a server of its own
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False
