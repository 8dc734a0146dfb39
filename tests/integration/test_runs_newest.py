"""While a trial trains, its W&B run says which checkpoint is the newest on the trial's own disk."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.trial_driver import Trials, wait_until
from tests.serving import ServerProcess, run_client
from transformer_e2e.runs.manifest import file_digest

SUMMARY = """
import json, sys, wandb
run = wandb.Api().run(f"toys/{sys.argv[1]}")
print(json.dumps([run.state, run.summary.get("checkpoint/step"), run.summary.get("checkpoint/digest")]))
"""


@pytest.fixture
def trials(wandb_server: ServerProcess, tmp_path: Path) -> Trials:
    return Trials(wandb_server, tmp_path / "model_checkpoints")


def test_the_summary_names_the_newest_checkpoint_while_the_trial_trains(trials: Trials) -> None:
    toy = trials.toy(steps=400, eval_interval=20)
    process = trials.start(replace(toy, waits_at=25))
    wait_until(lambda: "step-00000020" in trials.checkpoints(toy), "the first checkpoint")
    (run,) = trials.wandb_runs(toy)
    wait_until(lambda: trials.wandb_run(toy).summary.get("checkpoint/step") == 20, "W&B hears of it")
    state, step, digest = json.loads(run_client(trials.server, SUMMARY, run.name).splitlines()[-1])
    assert process.process.poll() is None and (state, step) == ("running", 20)
    assert digest == file_digest(trials.directory(toy) / f"step-{step:08d}" / "manifest.json")

    process.signal(signal.SIGTERM)
    assert process.end() == 143
    newest = trials.checkpoints(toy)[0]
    assert newest == "step-00000025"
    wait_until(
        lambda: trials.wandb_run(toy).summary["checkpoint/step"] == int(newest.removeprefix("step-")),
        "W&B hears of the last one",
    )
    seal = file_digest(trials.directory(toy) / newest / "manifest.json")
    assert trials.wandb_run(toy).summary["checkpoint/digest"] == seal
