"""Checkpoints that are written in the background are as safe as the others, in real processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.trial_driver import Trials, wait_until
from tests.serving import ServerProcess
from transformer_e2e.runs.durable import STAGING_PREFIX
from transformer_e2e.runs.manifest import read_manifest, seal, verify

AGES = 600.0  # a save that is under way whenever we look


@pytest.fixture(scope="module")
def trials(shared_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    yield Trials(shared_server, tmp_path_factory.mktemp("toys") / "model_checkpoints")


def saving(directory: Path) -> bool:
    return any(path.is_dir() for path in directory.glob(f"{STAGING_PREFIX}*"))


def test_killed_during_a_save_the_trial_goes_on_from_the_older_checkpoint(trials: Trials) -> None:
    trials.run(trials.toy(name="killed", kill_at_step=6, steps=12), code=-9)
    toy = trials.toy(name="killed", later=True, steps=12)
    (older,) = trials.checkpoints(toy)
    process = trials.start(trials.toy(name="killed", later=True, slow_save=AGES, steps=12))
    wait_until(lambda: saving(trials.directory(toy)), "the next save is under way")
    process.signal(signal.SIGKILL)
    assert process.end() == -9
    assert trials.checkpoints(toy) == [older]
    verify(trials.directory(toy) / older)
    trials.run(toy, code=0)
    assert not saving(trials.directory(toy))
    record = trials.record(toy)
    assert record is not None and record.outcome == "finished"
    trials.assert_each_row_once(toy)


def test_a_signal_waits_for_the_save_under_way(trials: Trials) -> None:
    toy = trials.toy(name="signal", later=True, slow_save=3.0, slow=0.02, steps=4000)
    process = trials.start(toy)
    wait_until(lambda: saving(trials.directory(toy)), "a save is under way")
    process.signal(signal.SIGTERM)
    assert process.end() == 143
    assert trials.checkpoints(toy)[-1] == "step-00000004"
    assert not saving(trials.directory(toy))


def test_a_bug_does_not_cost_the_save_under_way(trials: Trials) -> None:
    toy = trials.toy(name="bug", later=True, slow_save=2.0, eval_interval=2, fails="bug")
    trials.run(toy, code=1)
    assert trials.checkpoints(toy) == ["step-00000002"]
    verify(trials.directory(toy) / "step-00000002")


def test_a_full_disk_in_the_background_ends_the_training_and_keeps_what_was_there(trials: Trials) -> None:
    toy = trials.toy(name="full", later=True)
    trials.run(trials.toy(name="full", kill_at_step=6), code=-9)
    process = trials.run(trials.toy(name="full", later=True, payload=200_000, file_limit=100_000), code=1)
    assert "is full" in process.errors and "Traceback" not in process.errors
    assert trials.checkpoints(toy) == ["step-00000004"] and not saving(trials.directory(toy))


def test_rows_logged_during_the_save_are_not_counted_in_it(trials: Trials) -> None:
    toy = trials.toy(name="rows", later=True, slow_save=1.0, slow=0.01, steps=6, life={"upload": False})
    trials.run(toy, code=0)
    saved = {path.name: read_manifest(path).rows for path in trials.directory(toy).glob("step-*")}
    assert saved == {"step-00000004": 4, "step-00000006": 6}


def test_wandb_is_told_of_the_checkpoint_when_it_is_complete(trials: Trials) -> None:
    toy = trials.toy(name="told", later=True, life={"upload": False})
    trials.run(toy, code=0)
    summary = trials.wandb_run(toy).summary
    assert summary["checkpoint/step"] == 8
    assert summary["checkpoint/digest"] == seal(trials.directory(toy) / "step-00000008")
