"""The embedded server for as long as somebody uses it, with real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.serving import clean_environment
from transformer_e2e.errors import LaunchError
from transformer_e2e.launch.server import EmbeddedServer, connected, embedded_server, log_path
from transformer_e2e.runs.tracker_connection import Connection


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, value in clean_environment(tmp_path / "home").items():
        if name in ("HOME", "NETRC", "WANDB_CONFIG_DIR"):
            monkeypatch.setenv(name, value)


def viewer(server: EmbeddedServer) -> str:
    return Connection(server.url, server.api_key).viewer()


def test_a_server_is_started_shared_revived_and_ends_with_its_last_user(tmp_path: Path):
    root = tmp_path / "server"
    with embedded_server(root) as first:
        assert viewer(first) == "local"
        with embedded_server(root) as second:
            assert (second.url, second.process) == (first.url, None)
        time.sleep(1.5)
        assert first.process is not None and first.process.poll() is None  # one user is left
        assert first.revive() is None
        first.process.send_signal(signal.SIGSTOP)  # slow for longer than an answer is waited for
        assert first.revive() is None
        first.process.send_signal(signal.SIGCONT)
        first.process.kill()
        first.process.wait()
        assert "started again" in (first.revive() or "")
        assert viewer(first) == "local"  # same address, same key
    assert first.process.poll() == 0
    assert not (root / "server.json").exists()


def test_two_commands_that_start_at_once_share_one_server(tmp_path: Path):
    urls, together = [], threading.Barrier(2)

    def use() -> None:
        with embedded_server(tmp_path / "server") as server:
            urls.append(server.url)
            viewer(server)
            together.wait(60)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(urls) == 2 and len(set(urls)) == 1


def test_a_server_that_another_command_has_just_started_is_waited_for(tmp_path: Path):
    """It holds the root long before it answers: ours ends, and theirs is used."""
    root = tmp_path / "server"
    with embedded_server(root) as first:
        assert first.process is not None
        published = (root / "server.json").read_text()
        (root / "server.json").unlink()  # as before its first answer

        def answer_late() -> None:
            while "is already served" not in log_path(root).read_text():
                time.sleep(0.05)
            time.sleep(1.5)
            (root / "server.json").write_text(published)

        threading.Thread(target=answer_late, daemon=True).start()
        with embedded_server(root) as second:
            assert (second.url, second.process) == (first.url, None)


def test_a_child_that_inherited_the_lock_keeps_the_server(tmp_path: Path):
    with embedded_server(tmp_path / "server") as server:
        child = os.fork()
        if child == 0:  # holds a copy of users_fd until it is killed
            signal.pause()
        assert server.process is not None
    time.sleep(2.5)
    alive = server.process.poll() is None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert alive
    assert server.process.wait(60) == 0


def test_the_environment_points_to_the_server_only_within_the_block(tmp_path: Path):
    with connected(tmp_path / "server") as server:
        assert server is not None
        assert os.environ["WANDB_BASE_URL"] == server.url
        assert Path(os.environ["WANDB_DIR"]).is_relative_to(tmp_path)
    assert "WANDB_BASE_URL" not in os.environ and "WANDB_DIR" not in os.environ


def test_no_server_is_started_when_the_user_has_a_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with connected(tmp_path / "server") as server:
        assert server is None
    assert not (tmp_path / "server").exists()


def test_a_server_that_cannot_start_says_why(tmp_path: Path):
    root = tmp_path / "server"
    root.mkdir()
    (root / "server.db").mkdir()  # no database can be opened here
    with pytest.raises(LaunchError, match=f"the end of {log_path(root)}"), embedded_server(root):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match="give another --root"), embedded_server(tmp_path / "file"):
        pass
