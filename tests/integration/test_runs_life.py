"""A trial from its start to its record: trained once, resumed exactly, skipped when done. Real W&B client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.trial_driver import Trials, wait_until
from tests.serving import REPOSITORY, ServerProcess, run_client
from tests.toy_trial import sum_after
from transformer_e2e.runs.overview import status
from transformer_e2e.runs.status_text import status_lines

FETCH = """
import json, sys
from pathlib import Path
from transformer_e2e.runs.manifest import digests
from transformer_e2e.runs.tracker_artifacts import download
print(json.dumps(digests(download(sys.argv[1], Path(sys.argv[2])).directory)))
"""


@pytest.fixture
def trials(shared_server: ServerProcess, tmp_path: Path) -> Trials:
    return Trials(shared_server, tmp_path / "model_checkpoints")


def test_a_finished_trial_leaves_its_rows_a_proven_artifact_a_record_and_no_weights(trials: Trials) -> None:
    toy = trials.toy(seed=11)
    trials.run(toy, code=0)
    record, run = trials.record(toy), trials.wandb_run(toy)
    assert record is not None
    assert (record.status, record.outcome, record.steps) == ("cleaned", "finished", 8)
    assert record.metrics["sum"] == sum_after(11, 8)
    assert record.best_metric == record.metrics["eval/loss"] == run.summary["best/eval/loss"]
    assert record.wandb_run == f"local/toys/{run.name}"
    assert record.schema == {"task": "sum", "labels": ["even", "odd"]}
    assert record.measured_on == {"name": "numbers", "split": "validation", "examples": 12}
    assert (run.summary["data/name"], run.summary["data/examples"]) == ("numbers", 12)
    assert trials.checkpoints(toy) == []
    assert record.freed_bytes > 2 * toy.payload  # two checkpoints
    assert not list(trials.directory(toy).rglob("*.bin"))
    assert (run.state, run.display_name, run.config["run_id"]) == ("finished", toy.run_id, toy.run_id)
    trials.assert_each_row_once(toy)
    (version,) = trials.artifact_versions(toy)
    assert record.artifact == f"local/toys/model-{toy.run_id}:v0"
    assert {alias["alias"] for alias in version["node"]["aliases"]} == {"latest", "best"}
    assert sorted(record.digests) == ["model.bin", "sum.json"]


def test_the_uploaded_files_are_the_ones_recorded(trials: Trials, tmp_path: Path) -> None:
    toy = trials.toy(seed=12, payload=300_000)
    trials.run(toy, code=0)
    record = trials.record(toy)
    assert record is not None and record.artifact is not None
    back = str(tmp_path / "back")
    printed = run_client(trials.server, FETCH, record.artifact, back, PYTHONPATH=str(REPOSITORY))
    assert json.loads(printed.strip().splitlines()[-1]) == record.digests
    # W&B's client keeps no copy of its own, neither staged nor cached; logs and checksums remain.
    assert not [path for path in trials.server.home.rglob("*") if path.stat().st_size >= 300_000]


def test_a_completed_trial_is_skipped_even_without_a_server(trials: Trials) -> None:
    toy = trials.toy(seed=13)
    trials.run(toy, code=0)
    again = trials.run(toy, code=0, WANDB_BASE_URL="http://127.0.0.1:9")
    assert "Run was previously completed" in again.out and "--force" in again.out
    assert len(trials.wandb_runs(toy)) == 1


def test_a_completed_trial_gives_another_run_of_it_the_recorded_rows(trials: Trials) -> None:
    toy = trials.toy(seed=14)
    trials.run(toy, code=0)
    trials.run(toy, code=0, WANDB_RUN_ID="another1")
    first, second = sorted(trials.wandb_runs(toy), key=lambda run: run.created_at)
    assert second.name == "another1" and second.state == "finished"
    trials.assert_each_row_once(toy, first.name)
    trials.assert_each_row_once(toy, "another1")
    assert second.summary["best/eval/loss"] == first.summary["best/eval/loss"]
    assert len(trials.artifact_versions(toy)) == 1


def test_force_trains_again_from_step_0_as_another_run(trials: Trials) -> None:
    toy = trials.toy(seed=15)
    trials.run(toy, code=0)
    trials.run(trials.toy(seed=15, life={"force": True}), code=0)
    assert len(trials.wandb_runs(toy)) == 2
    assert len(trials.journal(toy)) == 8
    for run in trials.wandb_runs(toy):
        assert run.history_rows == 8


@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_a_killed_trial_continues_to_the_same_numbers_with_each_row_once(trials: Trials, step: int) -> None:
    toy = trials.toy(seed=20 + step)
    trials.run(trials.toy(seed=20 + step, kill_at_step=step), code=-9)
    assert trials.record(toy) is None
    trials.run(toy, code=0)
    record = trials.record(toy)
    assert record is not None
    assert record.metrics["sum"] == sum_after(toy.seed, 8)
    assert [row["train/global_step"] for row in trials.journal(toy)] == list(range(1, 9))
    trials.assert_each_row_once(toy)
    (end,) = trials.ends(toy)
    assert (end["attempt"], end["replay_differences"]) == (2, 0)


def test_a_trial_resumed_as_another_wandb_run_sends_all_its_rows_to_it(trials: Trials) -> None:
    toy = trials.toy(seed=30)
    trials.run(trials.toy(seed=30, kill_at_step=7), code=-9, WANDB_RUN_ID="before")
    trials.run(toy, code=0, WANDB_RUN_ID="after")
    trials.assert_each_row_once(toy, "after")


def test_a_diverged_trial_counts_as_done_with_a_finite_worst_metric(trials: Trials) -> None:
    toy = trials.toy(seed=31, diverges=True)
    said = trials.run(toy, code=0).out
    assert "warning: diverged after step 3: " in said and "--learning_rate" in said
    record, run = trials.record(toy), trials.wandb_run(toy)
    assert record is not None and record.outcome == "diverged" and record.best_metric is None
    assert run.summary["diverged"] is True and run.summary["eval/loss"] == 1e9
    assert trials.history(run.name)[-1]["eval/loss"] == 1e9
    assert "Run was previously completed" in trials.run(toy, code=0).out


def test_a_second_attempt_waits_for_the_first_and_then_reads_its_record(
    trials: Trials, tmp_path: Path
) -> None:
    toy = trials.toy(seed=32, waits_at=1, gate=str(tmp_path / "gate"))
    first = trials.start(toy)
    wait_until(lambda: trials.journal(toy), "the first one trains")
    second = trials.start(toy)
    second.says("waiting for it")
    impatient = trials.run(trials.toy(seed=32, life={"no_wait": True}), code=75)
    assert "is held by process" in impatient.out
    (tmp_path / "gate").touch()
    assert (first.end(), second.end()) == (0, 0)
    assert "Run was previously completed" in second.out
    assert [end["attempt"] for end in trials.ends(toy)] == [1]
    assert len(trials.wandb_runs(toy)) == 1


def test_a_bug_is_a_failed_run_with_a_traceback_and_keeps_what_was_saved(trials: Trials) -> None:
    toy = trials.toy(seed=33, fails="bug", eval_interval=2)
    process = trials.run(toy, code=1)
    assert "ZeroDivisionError: a bug at step 3" in process.errors and "Traceback" in process.errors
    assert trials.wandb_run(toy).state == "failed"
    assert trials.record(toy) is None and trials.checkpoints(toy) == ["step-00000002"]


def test_offline_nothing_is_uploaded_and_so_nothing_is_deleted(trials: Trials) -> None:
    toy = trials.toy(seed=34)
    trials.run(toy, code=0, WANDB_MODE="offline")
    record = trials.record(toy)
    assert record is not None and (record.status, record.artifact) == ("trained", None)
    assert trials.checkpoints(toy) == ["step-00000008", "step-00000004"]
    trials.run(toy, code=0)  # online again: what was left undone is done
    record = trials.record(toy)
    assert record is not None and record.status == "cleaned"
    assert trials.checkpoints(toy) == []


def test_a_trial_with_wandb_switched_off_names_no_run_until_it_has_one(trials: Trials) -> None:
    toy = trials.toy(seed=35)
    trials.run(toy, code=0, WANDB_MODE="disabled")
    record, told = trials.record(toy), status(trials.root, toy.run_id)
    assert record is not None and (record.wandb_run, record.url, record.history_sent) == (None, None, False)
    assert told.as_json()["wandb_run"] is None and "dummy" not in str(told.as_json())
    assert any("none: it was trained with W&B switched off" in line for line in status_lines(told, width=90))

    trials.run(toy, code=0)
    record, run = trials.record(toy), trials.wandb_run(toy)
    assert record is not None and record.wandb_run == f"local/toys/{run.name}" and record.history_sent
    trials.assert_each_row_once(toy)
    trials.run(toy, code=0, WANDB_MODE="disabled")
    assert trials.record(toy) == record


def test_a_trial_that_logged_offline_says_so(trials: Trials) -> None:
    toy = trials.toy(seed=36)
    trials.run(toy, code=0, WANDB_MODE="offline")
    told = status(trials.root, toy.run_id)
    assert any(line.endswith(", logged offline") for line in status_lines(told, width=90))
