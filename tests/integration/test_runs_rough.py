"""Rough treatment that is no kill: three starts at once, a suspended machine, a place that is no folder."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faulty_proxy import FaultyProxy
from tests.integration.trial_driver import Trials, wait_until
from tests.interruptions import client_helpers
from tests.serving import ServerProcess


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Trials]:
    """Trials of a server that gives up a run after three silent seconds."""
    (tmp_path / "home").mkdir()
    server = ServerProcess(tmp_path / "server", tmp_path / "home", options=("--heartbeat_timeout=3",))
    server.start()
    yield Trials(server, tmp_path / "model_checkpoints")
    server.kill()


def test_of_three_starts_at_once_one_trains_and_all_end_well(
    wandb_server: ServerProcess, tmp_path: Path
) -> None:
    trials = Trials(wandb_server, tmp_path / "model_checkpoints")
    toy = trials.toy(slow=0.1)
    processes = [trials.start(toy) for _ in range(3)]
    assert [process.end() for process in processes] == [0, 0, 0], [item.errors for item in processes]
    assert len(trials.ends(toy)) == 1
    assert sum("Run was previously completed" in process.out for process in processes) == 2
    record = trials.record(toy)
    assert record is not None and record.status == "cleaned"
    assert len(trials.artifact_versions(toy)) == 1
    trials.assert_each_row_once(toy)


def test_a_machine_that_slept_until_the_server_gave_its_run_up_goes_on(impatient: Trials) -> None:
    toy = impatient.toy(slow=0.4, steps=12)
    process = impatient.start(toy)
    wait_until(lambda: len(impatient.journal(toy)) >= 3, "training has begun")
    asleep = [process.process.pid, *client_helpers(process.process.pid)]
    assert len(asleep) == 2
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: impatient.wandb_run(toy).state == "crashed", "the server gave the run up")
    finally:
        for pid in asleep:
            os.kill(pid, signal.SIGCONT)
    assert process.end() == 0, process.errors
    assert impatient.wandb_run(toy).state == "finished"
    assert len(impatient.ends(toy)) == 1
    impatient.assert_each_row_once(toy)


def test_a_client_that_dies_while_its_run_begins_leaves_one_run(
    wandb_server: ServerProcess, tmp_path: Path
) -> None:
    trials = Trials(wandb_server, tmp_path / "model_checkpoints")
    toy = trials.toy(patience=4.0, slow=0.1)
    process = trials.start(toy)
    wait_until(lambda: trials.wandb_runs(toy), "W&B has the run")
    for pid in client_helpers(process.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert process.end() in (0, 2), process.errors  # it may have begun
    assert "Traceback" not in process.errors, process.errors
    trials.run(trials.toy(), code=0)
    assert trials.wandb_run(toy).state == "finished"
    trials.assert_each_row_once(toy)


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(
    wandb_server: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    for place in ("file", "file/below", "/proc/none"):
        trials = Trials(wandb_server, tmp_path / place)
        process = trials.run(trials.toy(), code=2)
        assert "--checkpoint_dir" in process.errors and "Traceback" not in process.errors, process.errors
        assert trials.wandb_runs(trials.toy()) == []


def test_half_an_answer_from_the_server_is_no_bug(wandb_server: ServerProcess, tmp_path: Path) -> None:
    trials = Trials(wandb_server, tmp_path / "model_checkpoints")
    toy = trials.toy()
    with FaultyProxy(wandb_server.url, lambda method, path: "truncate") as proxy:
        process = trials.run(toy, code=2, WANDB_BASE_URL=proxy.url, WANDB_INIT_TIMEOUT="2")
    assert "cannot be reached" in process.errors and "Traceback" not in process.errors, process.errors
    assert not trials.directory(toy).exists()
