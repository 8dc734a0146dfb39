"""Exact resume: stopped or killed anywhere, a trial ends as if it had never stopped. Compared with ==."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training_case import (
    DirectoryTrial,
    Killed,
    case_settings,
    fingerprint,
    run,
    scramble_generators,
)
from transformer_e2e.compute import generators
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.trainer import checkpoint

ROOT = Path(__file__).parents[2]
# Too high a rate: stops early.
PATIENT = {"patience": 2, "learning_rate": 0.3, "max_steps": 30, "schedule": "linear", "min_lr_ratio": 0.0}


def attempt(
    directory: Path, settings: TrainSettings, **limits: float
) -> tuple[DirectoryTrial, dict[str, Any]]:
    scramble_generators()
    trial = DirectoryTrial(directory, **limits)
    state, outcome = run(trial, settings)
    return trial, fingerprint(state, outcome, trial.rows)


@pytest.mark.parametrize(
    "precision,changes,stride",
    [
        ("fp32", {}, 3),
        ("bf16", {}, 5),
        ("bf16", {"gradient_accumulation": 1}, 3),
        ("fp32", PATIENT, 7),
        pytest.param("fp32", {}, 1, marks=pytest.mark.slow),
        pytest.param("bf16", {}, 1, marks=pytest.mark.slow),
        pytest.param("bf16", PATIENT, 1, marks=pytest.mark.slow),
    ],
    ids=["fp32", "bf16", "bf16-k1", "patience", "fp32-all", "bf16-all", "patience-all"],
)
def test_stopped_at_any_poll_and_resumed_equals_uninterrupted(tmp_path, precision, changes, stride):
    """Polls are before each step, between micro-batches and between evaluation batches; every kind is met,
    and by the slow cases every single one."""
    settings = case_settings(precision, **changes)
    whole_trial, whole = attempt(tmp_path / "whole", settings)
    assert whole["outcome"] == (Outcome.EARLY_STOPPED if changes is PATIENT else Outcome.FINISHED)
    for poll in range(1, whole_trial.polls + 1, stride):
        directory = tmp_path / f"stop-{poll}"
        first, stopped = attempt(directory, settings, stop_at=poll)
        if stopped["outcome"] == Outcome.STOPPED:
            assert first.polls <= poll + 1, "a stop must be answered at once"
            _, resumed = attempt(directory, settings)
            assert resumed == whole, f"stopped at poll {poll}"
        else:
            assert stopped == whole


def test_killed_at_any_poll_and_resumed_equals_uninterrupted(tmp_path):
    settings = case_settings("fp32")
    whole_trial, whole = attempt(tmp_path / "whole", settings)
    for poll in range(1, whole_trial.polls + 1, 3):
        directory = tmp_path / f"kill-{poll}"
        trial = DirectoryTrial(directory, kill_at=poll)
        with pytest.raises(Killed):
            run(trial, settings)
        _, resumed = attempt(directory, settings)
        assert resumed == whole
        assert trial.rows == whole["rows"][: len(trial.rows)]  # what a replay is compared with


def test_stopped_again_and_again_equals_uninterrupted(tmp_path):
    settings = case_settings("bf16")
    _, whole = attempt(tmp_path / "whole", settings)
    attempts, result = 0, {"outcome": Outcome.STOPPED}
    while result["outcome"] == Outcome.STOPPED:
        _, result = attempt(tmp_path / "often", settings, stop_at=5)
        attempts += 1
    assert attempts > 5
    assert result == whole


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_new_process_ends_with_the_same_bits(tmp_path, precision):
    _, whole = attempt(tmp_path / "whole", case_settings(precision))
    _, stopped = attempt(tmp_path / "new", case_settings(precision), stop_at=11)
    assert stopped["outcome"] == Outcome.STOPPED
    command = [sys.executable, "-m", "tests.unit.training_case", str(tmp_path / "new"), precision]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    assert json.loads(ended.stdout) == json.loads(json.dumps(whole))


@pytest.mark.parametrize(
    "lost", ["generators", "optimizer", "best_loss", "evals_since_best", "tokens_seen", "unlogged"]
)
def test_the_comparison_notices_whatever_is_not_restored(tmp_path, monkeypatch, lost):
    settings = case_settings("fp32", learning_rate=2e-2)  # the first evaluation stays the best
    _, whole = attempt(tmp_path / "whole", settings)
    cut, _ = attempt(tmp_path / "cut", settings, stop_at=15)  # in the evaluation after step 6
    assert cut.saves[-1][0] == 6 and cut.rows[-1]["step"] == 4
    if lost == "generators":
        monkeypatch.setattr(generators, "restore", lambda saved: None)
    elif lost == "optimizer":
        monkeypatch.setattr(checkpoint, "set_named_state", lambda *_: None)
    else:
        blank = {"best_loss": None, "evals_since_best": 7, "tokens_seen": 0, "unlogged": {}}[lost]
        real = checkpoint.set_progress
        monkeypatch.setattr(
            checkpoint, "set_progress", lambda state, progress: real(state, progress | {lost: blank})
        )
    _, resumed = attempt(tmp_path / "cut", settings)
    assert resumed != whole
