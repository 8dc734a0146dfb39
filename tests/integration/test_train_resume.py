"""A training that was killed and started again is the training that was never killed, bit for bit."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.serving import ServerProcess, run_client
from tests.training import Workplace, comparable

pytestmark = pytest.mark.timeout(900)

KILL_ROWS = (3, 8, 17, 26, 37, 47)  # before the first checkpoint, after it, around evaluations, near the end

HISTORY = """
import json, sys, wandb
runs = wandb.Api().runs(sys.argv[1])
print(json.dumps([sorted(run.scan_history(), key=lambda row: row["_step"]) for run in runs]))
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path).prepare()


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp32", marks=pytest.mark.slow)])
def test_six_kills_leave_no_trace(workplace: Workplace, wandb_server: ServerProcess, precision: str) -> None:
    workplace.finish(wandb_server.env, "whole", precision=precision, project="whole")
    for rows in KILL_ROWS:
        code = workplace.stop_at_row(
            wandb_server.env, "killed", rows, signal.SIGKILL, precision=precision, project="killed"
        )
        assert code == -signal.SIGKILL
    workplace.finish(wandb_server.env, "killed", precision=precision, project="killed")

    whole, killed = workplace.record("whole"), workplace.record("killed")
    assert whole["digests"]["model.safetensors"] == killed["digests"]["model.safetensors"]
    assert workplace.rows("whole") == workplace.rows("killed")
    assert len(workplace.rows("whole")) == 48  # one a step
    for name, value in whole["metrics"].items():
        if not name.startswith("perf/"):
            assert killed["metrics"][name] == value, name
    (history,) = json.loads(run_client(wandb_server, HISTORY, "killed"))
    assert [row["_step"] for row in history] == list(range(48))
    logged = [
        {name: row[name] for name in expected["metrics"]}
        for row, expected in zip(history, workplace.rows("killed"), strict=True)
    ]
    assert logged == [row["metrics"] for row in workplace.rows("killed")]


def test_a_trial_that_is_done_is_not_trained_again(workplace: Workplace, wandb_server: ServerProcess) -> None:
    settings = {"max_steps": 6, "eval_interval": 3, "project": "again"}
    workplace.finish(wandb_server.env, "once", **settings)
    before = [comparable(row) for row in workplace.rows("once")]
    output = workplace.finish(wandb_server.env, "once", **settings)
    assert "Run was previously completed" in output and "--force" in output
    assert workplace.rows("once") == before
    forced = workplace.finish(wandb_server.env, "once", force=True, **settings)
    assert "starting at step 0" in forced
    assert workplace.rows("once") == before  # the same training again


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_to_go_on_from(
    workplace: Workplace, wandb_server: ServerProcess, number: signal.Signals, code: int
) -> None:
    assert workplace.stop_at_row(wandb_server.env, "stopped", 10, number, project="stopped") == code
    trial = workplace.trial("stopped")
    assert trial is not None
    (newest, *_) = sorted(trial.glob("step-*"), reverse=True)
    step = int(newest.name.removeprefix("step-"))
    assert step >= 9
    output = workplace.finish(wandb_server.env, "stopped", project="stopped")
    assert f"resumed at step {step}" in output
