"""The embedded server as a fixture: a fresh one for each test, or one shared by a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ServerProcess


@pytest.fixture
def wandb_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server; `.url .api_key .root .env .kill() .restart() .stop()`, see tests/serving.py."""
    yield from _served(tmp_path)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One running server for all tests of a module; not to be killed, each test uses runs of its own."""
    yield from _served(tmp_path_factory.mktemp("shared"))


def _served(folder: Path) -> Iterator[ServerProcess]:
    home = folder / "home"
    home.mkdir()
    server = ServerProcess(folder / "server", home)
    server.start()
    yield server
    server.kill()
