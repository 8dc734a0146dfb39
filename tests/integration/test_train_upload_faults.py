"""Every way in which an upload fails leaves the files here and says so; the next start uploads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faulty_proxy import FaultyProxy
from tests.serving import ServerProcess
from tests.training import Workplace

SETTINGS = {"max_steps": 6, "eval_interval": 3, "project": "faults"}


def on_files(kind: str, method: str) -> Callable[[str, str], str | None]:
    """The fault for every transfer of a file in that direction."""
    return lambda used, path: kind if used == method and path.startswith("/blobs/") else None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_faults_of_every_kind_leave_the_files_and_say_so(tmp_path: Path, wandb_server: ServerProcess) -> None:
    workplace = Workplace(tmp_path).prepare()

    def start(env: dict[str, str]) -> str:
        return workplace.finish(env, "trials", **SETTINGS)

    def fails(env: dict[str, str], what: str) -> None:
        output = start(env)
        record, trial = workplace.record("trials"), workplace.trial("trials")
        assert (record["status"], record["artifact"]) == ("trained", None), output
        assert trial is not None and (trial / "step-00000006" / "model.safetensors").exists()
        assert "the model was not uploaded: W&B could not" in output and what in output, output
        assert "the same command, given again, uploads them" in output

    for kind, method, what in (
        ("hang", "PUT", "take the files: it was not done within 120 s"),
        ("503", "PUT", "take the files: it was not done within 120 s"),
        ("shorten", "PUT", "it was truncated or damaged on its way"),
        ("503", "GET", "back for comparison: it was not done within 120 s"),
        ("truncate", "GET", "back for comparison: ChunkedEncodingError"),
        ("corrupt", "GET", "back for comparison: ValueError"),  # the list of files comes first
    ):
        with FaultyProxy(wandb_server.url, on_files(kind, method)) as proxy:
            fails({**wandb_server.env, "WANDB_BASE_URL": proxy.url}, what)
            assert proxy.injected > 0
    with FaultyProxy(wandb_server.url, lambda method, path: kill_at_file(wandb_server, path)) as proxy:
        fails({**wandb_server.env, "WANDB_BASE_URL": proxy.url}, "answers 502 Bad Gateway")
    wandb_server.start()
    output = start(wandb_server.env)
    assert "uploaded and verified" in output
    assert workplace.record("trials")["status"] == "cleaned"


def kill_at_file(server: ServerProcess, path: str) -> None:
    """The server dies when it is asked for a file."""
    if path.startswith("/blobs/"):
        server.kill()
