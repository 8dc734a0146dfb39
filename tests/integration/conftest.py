"""The embedded server as a fixture: `wandb_server` is a fresh one for each test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ServerProcess


@pytest.fixture
def wandb_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server; `.url .api_key .root .env .kill() .restart() .stop()`, see tests/serving.py."""
    home = tmp_path / "home"
    home.mkdir()
    server = ServerProcess(tmp_path / "server", home)
    server.start()
    yield server
    server.kill()
