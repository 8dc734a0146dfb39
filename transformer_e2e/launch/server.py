"""The embedded W&B server as a process: used when it runs, started when it does not, ended when unused."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from transformer_e2e.errors import LaunchError
from transformer_e2e.launch.environment import client_folders, configured

DEFAULT_ROOT = Path("wandb_server")
START_SECONDS = 60.0  # a cold start on a busy machine reads some hundred modules from disk
END_SECONDS = 10.0
MAX_RESTARTS = 5

__all__ = ["DEFAULT_ROOT", "EmbeddedServer", "configured", "connected", "embedded_server"]


@dataclass
class EmbeddedServer:
    """The embedded server, in use by this process.

    `users_fd` holds the lock that keeps it alive; children that need the server inherit it.
    """

    url: str
    api_key: str
    root: Path
    users_fd: int
    process: subprocess.Popen[bytes] | None = None  # None: somebody else started it
    restarts: int = 0

    @property
    def introduction(self) -> str:
        """Said by whoever uses it because no other W&B is configured."""
        return (
            f"no W&B is configured: using the embedded server at {self.url}, data in {self.root}/ (to ask it "
            f"later: python -m transformer_e2e.server --root {self.root})"
        )

    def exports(self) -> dict[str, str]:
        """What a W&B client needs to find this server, and to keep its own files below its root."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": self.api_key,
            **client_folders(self.root),
        }

    def revive(self) -> str | None:
        """Start the server again, at the same address, if it has died. Returns what was done, or None.

        Clients wait and repeat their requests meanwhile, so a sweep goes on. A server that holds its root
        lives, however slowly it answers. Raises LaunchError when it keeps dying.
        """
        if _running(self.root) is not None or _is_taken(self.root):
            return None
        if self.restarts >= MAX_RESTARTS:
            raise LaunchError(f"the server died {self.restarts + 1} times; see {log_path(self.root)}")
        self.restarts += 1
        self.process = _launch(self.root, port=urlsplit(self.url).port or 0)
        _wait_until_up(self.root, self.process)
        return f"the server had died; it was started again at {self.url} (log: {log_path(self.root)})"


def log_path(root: Path) -> Path:
    """Where a server started here writes what it says."""
    return root / "logs" / "server.log"


@contextlib.contextmanager
def embedded_server(root: Path = DEFAULT_ROOT) -> Iterator[EmbeddedServer]:
    """The server of `root` for as long as the block lasts: the running one, or a new one.

    A new one lives in a session of its own and ends by itself once its last user is gone, also when that
    user was killed. Raises LaunchError when it cannot be started.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # metrics and models are the owner's
        log_path(root).parent.mkdir(exist_ok=True)
        users_fd = os.open(root / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LaunchError(f"cannot use {root} as the server's folder: {error}; give another --root") from None
    server = None
    try:
        _become_user(users_fd, root)
        server = _connect(root, users_fd)
        yield server
    finally:
        last = _is_last_user(root, users_fd)  # closes users_fd
        if server is not None and server.process is not None and last:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(END_SECONDS)


@contextlib.contextmanager
def connected(root: Path = DEFAULT_ROOT) -> Iterator[EmbeddedServer | None]:
    """A W&B for this process and its children: the user's own (None), else the embedded one.

    The embedded one's address, key and folders are put into the environment for the time of the block.
    """
    if configured():
        yield None
        return
    with embedded_server(root) as server:
        before = {name: os.environ.get(name) for name in server.exports()}
        os.environ.update({name: value for name, value in server.exports().items() if not before[name]})
        try:
            yield server
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _connect(root: Path, users_fd: int) -> EmbeddedServer:
    process = None
    found = _running(root)
    if found is None:
        process = _launch(root, port=0)
        found = _wait_until_up(root, process)
        if found["pid"] != process.pid:  # another command was faster; ours has seen it and left
            process = None
    return EmbeddedServer(found["url"], _read_key(root), root, users_fd, process)


def _become_user(users_fd: int, root: Path) -> None:
    """Take the lock that says "in use". A server that is just ending holds it until it is gone."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            fcntl.flock(users_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LaunchError(f"{root / 'users.lock'} is held by another process; is it stuck?") from None
            time.sleep(0.1)


def _is_last_user(root: Path, users_fd: int) -> bool:
    """Give our share of the lock back, and say whether anybody else still holds one.

    Closed, never unlocked: an unlock would also take it from the agents that inherited it.
    """
    os.close(users_fd)
    fd = os.open(root / "users.lock", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def _launch(root: Path, *, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "transformer_e2e.server", "--root", str(root), "--port", str(port)]
    with log_path(root).open("ab") as log:
        return subprocess.Popen(
            [*command, "--until_unused"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: the server ends after its users
        )


def _wait_until_up(root: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        found = _running(root)
        if found is not None:
            return found
        if ended and not _is_taken(root):  # else by a server that another command has just started
            time.sleep(0.5)
            if (found := _running(root)) is not None:
                return found
            break
        time.sleep(0.05)
    else:
        process.terminate()
    tail = log_path(root).read_text(errors="replace").strip().splitlines()[-8:]
    raise LaunchError(
        "\n".join(
            [f"the embedded server did not start; the end of {log_path(root)}:", *(f"  {t}" for t in tail)]
        )
    )


def _is_taken(root: Path) -> bool:
    """Whether a server holds `root`, also one that does not answer yet."""
    fd = os.open(root / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def _running(root: Path) -> dict[str, Any] | None:
    """What `server.json` says, if that very server answers there."""
    try:
        found: dict[str, Any] = json.loads((root / "server.json").read_text())
        return found if _serving_pid(found["url"]) == found["pid"] else None
    except (OSError, ValueError, KeyError):
        return None


def _serving_pid(url: str) -> int | None:
    """The process that answers at `url`, or None. After a kill -9 somebody else may have the port."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    try:
        with opener.open(f"{url}/healthz", timeout=5) as answer:
            return int(json.load(answer)["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_key(root: Path) -> str:
    try:
        return (root / "api_key").read_text().strip()
    except OSError as error:
        raise LaunchError(f"cannot read the server's key: {error}; only its owner can") from None
