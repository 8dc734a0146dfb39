"""The serving process: says where it listens, ends cleanly when told to or when nobody needs it."""

from __future__ import annotations

import asyncio
import shlex
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from transformer_e2e.errors import LaunchError
from transformer_e2e.server import server_lock
from transformer_e2e.server.app import create_app
from transformer_e2e.server.settings import ServerSettings

LONGEST_GOODBYE = 5  # seconds granted to requests that are still being answered


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own version raises the signal again at the end: a clean end would look like a death."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True

    async def end_when_unused(self, users: server_lock.Users) -> None:
        while not users.are_gone():
            await asyncio.sleep(1.0)
        self._end()


def serve(settings: ServerSettings, listener: socket.socket) -> None:
    """Answer on `listener` until told to end; then `server.json` is gone, and all that was answered kept."""
    try:
        app = create_app(settings)
    except (sqlite3.Error, OSError) as error:
        raise LaunchError(
            f"{settings.database} cannot be used: {error}; free some space, or give another --root"
        ) from error
    config = uvicorn.Config(
        app,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=LONGEST_GOODBYE,
        timeout_keep_alive=60,  # clients pause 15 to 30 s between requests
        h11_max_incomplete_event_size=1 << 20,
    )
    url = f"http://{_in_url(settings.host)}:{settings.port}"
    asyncio.run(_run(_Server(config), settings, listener, url))


async def _run(server: _Server, settings: ServerSettings, listener: socket.socket, url: str) -> None:
    server_lock.publish(settings.root, url)
    print("\n".join(export_lines(url, settings)), flush=True)
    tasks = []
    if settings.until_unused:
        tasks.append(asyncio.create_task(server.end_when_unused(server_lock.Users(settings.root))))
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
        server_lock.withdraw(settings.root)


def export_lines(url: str, settings: ServerSettings) -> tuple[str, str]:
    """What a shell needs to use this server. The key itself is left in its file: output ends up in logs."""
    key_file = shlex.quote(str(settings.root / "api_key"))
    return f"export WANDB_BASE_URL={url}", f"export WANDB_API_KEY=$(cat {key_file})"


def _in_url(host: str) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"[{reachable}]" if ":" in reachable and not reachable.startswith("[") else reachable
