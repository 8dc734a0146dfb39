"""Serve W&B clients from this machine: no account, no internet.

example:
  python -m transformer_e2e.server --root wandb_server --port 8080
then, in another terminal, the two export lines that it prints, and any `wandb` command or script.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from transformer_e2e.errors import LaunchError, exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or, with `--until_unused`, until nobody needs it.

    Exit codes: 0, or 2 after a message that says why it cannot serve.
    """
    args = _parser().parse_args(argv)
    return exit_code_of(lambda: _serve(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("wandb_server"),
        help="folder of everything the server keeps (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=8080, help="0 = any free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--until_unused", action="store_true", help="end once no program holds ROOT/users.lock any more"
    )
    parser.add_argument(
        "--heartbeat_timeout",
        type=float,
        default=300.0,
        help="silence after which a running run counts as crashed [s] (default: %(default)s)",
    )
    return parser


def _serve(args: argparse.Namespace) -> int:
    from transformer_e2e.server import auth, process, server_lock
    from transformer_e2e.server.settings import ServerSettings

    problems = []
    if not 0 <= args.port <= 65535:
        problems.append(f"--port={args.port} must be between 0 (any free port) and 65535")
    if not args.heartbeat_timeout > 0:
        problems.append(f"--heartbeat_timeout={args.heartbeat_timeout} must be greater than 0 seconds")
    if problems:
        raise LaunchError("; ".join(problems))
    root = args.root.resolve()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # other people's eyes end here
        server_lock.take(root)
        api_key = auth.stored(root / "api_key", auth.new_key)
        secret = auth.stored(root / "url_secret", lambda: secrets.token_hex(32))
    except OSError as error:
        raise LaunchError(
            f"--root={args.root} cannot be used: {error}; name a folder that can be written"
        ) from None
    listener = _listen(args.host, args.port)
    settings = ServerSettings(
        root=root,
        host=args.host,
        port=listener.getsockname()[1],
        until_unused=args.until_unused,
        heartbeat_timeout=args.heartbeat_timeout,
        api_key=api_key,
        secret=secret.encode(),
    )
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    process.serve(settings, listener)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, so that asyncio turns Nagle's algorithm off: it costs 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # restart at once on the same port
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise LaunchError(
            f"cannot listen on --host={host} --port={port}: {error.strerror}; "
            f"--port={port + 1 if port < 65535 else 8080} may be free, and --port=0 takes any free one"
        ) from None
    return listener


if __name__ == "__main__":
    sys.exit(main())
