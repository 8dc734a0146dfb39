"""The embedded server as a fixture: a fresh one for each test, or one shared by a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import ServerProcess, become_client

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def wandb_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server; `.url .api_key .root .env .kill() .restart() .stop()`, see tests/serving.py."""
    yield from _served(tmp_path)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One running server for all tests of a module; not to be killed, each test uses runs of its own."""
    yield from _served(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def here(shared_server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """The shared server, as this process's W&B."""
    become_client(shared_server.env, monkeypatch)
    return shared_server


@pytest.fixture
def typed(
    here: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """A script's `main` with its arguments, in this process and a folder of its own: (exit code, standard
    output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def typed(main: Callable[[list[str]], int], *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return typed


def _served(folder: Path) -> Iterator[ServerProcess]:
    home = folder / "home"
    home.mkdir()
    server = ServerProcess(folder / "server", home)
    server.start()
    yield server
    server.kill()
