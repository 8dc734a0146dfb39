"""A Hugging Face training that is killed or stopped anywhere goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests import hf_case
from tests.unit.training_case import DirectoryTrial, Killed, LaterTrial, scramble_generators
from transformer_e2e.compute import generators
from transformer_e2e.compute.certificate import digest_json, digest_tensors
from transformer_e2e.hf.training import train
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.spec import Result


def attempt(trial: DirectoryTrial, patience: int = 0, **changes: Any) -> tuple[Result, dict[str, str]]:
    """One process's work; what it leaves, as digests. Raises Killed."""
    prepared = hf_case.prepared()
    scramble_generators()
    result = train(
        trial,
        prepared,
        hf_case.arguments(trial.directory / "unused", patience=patience, **changes),
        say=lambda _: None,
        metric_name="eval/loss",
        goal="minimize",
    )
    drawn = generators.capture()
    return result, {
        "weights": digest_tensors(prepared.model.state_dict()),
        "generators": digest_tensors(drawn.tensors) + digest_json(drawn.plain),
    }


def to_the_end(directory: Path, kills: list[float], stops: list[float], **changes: Any) -> Any:
    """Attempts that die or stop at the given polls, and a last one that does neither."""
    for kill, stop in zip(kills, stops, strict=True):
        trial = DirectoryTrial(directory, kill_at=kill, stop_at=stop)
        try:
            result, _ = attempt(trial, **changes)
            assert result.outcome in (Outcome.STOPPED, Outcome.FINISHED)
        except Killed:
            pass
    trial = DirectoryTrial(directory)
    result, digests = attempt(trial, **changes)
    return result.outcome, result.steps, digests, trial.rows


pytestmark = pytest.mark.timeout(900)
NEVER = float("inf")
CASES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"bf16": True},
    "epochs": {"eval_strategy": "epoch", "save_strategy": "steps", "save_steps": 1, "logging_steps": 4},
    "by length": {"train_sampling_strategy": "group_by_length", "gradient_accumulation_steps": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_kills_and_stops_leave_no_trace(tmp_path: Path, case: str) -> None:
    changes = CASES[case]
    whole = to_the_end(tmp_path / "whole", [], [], **changes)
    assert whole[0] is Outcome.FINISHED
    polls = [2, 3, 4, 6, 9, 13]
    killed = to_the_end(tmp_path / "killed", polls, [NEVER] * len(polls), **changes)
    assert killed == whole
    stopped = to_the_end(tmp_path / "stopped", [NEVER] * len(polls), polls, **changes)
    assert stopped == whole


def test_an_evaluation_at_the_start_is_done_once_and_may_be_stopped(tmp_path: Path) -> None:
    """Poll 2 is in it."""
    changes = {"eval_on_start": True, "num_train_epochs": 1}
    whole = to_the_end(tmp_path / "whole", [], [], **changes)
    assert [row["step"] for row in whole[3] if "eval/loss" in row] == [0, 5, 6]
    assert to_the_end(tmp_path / "stopped", [NEVER, NEVER], [2, 4], **changes) == whole


def test_workers_that_would_outlive_an_epoch_leave_no_trace(tmp_path: Path) -> None:
    """Stopped in its first epoch: such workers would be made once more in the second, and draw a seed."""
    changes = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "num_train_epochs": 2}
    whole = to_the_end(tmp_path / "whole", [], [], **changes)
    assert to_the_end(tmp_path / "stopped", [NEVER], [4], **changes) == whole


def test_a_stop_in_an_evaluation_leaves_the_generators_as_they_were(tmp_path: Path) -> None:
    """Polls 11 to 13 are the forward passes of the evaluation after step 5: one at the start, two a step."""
    whole = to_the_end(tmp_path / "whole", [], [])
    for poll in (11, 13):
        directory = tmp_path / str(poll)
        assert to_the_end(directory, [NEVER], [poll]) == whole
        stopped = json.loads((directory / "step-00000005" / "rows.json").read_text())
        assert "eval/loss" in stopped[-1]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_many_short_attempts_make_one_training(tmp_path: Path, seed: int) -> None:
    """Some die before their first step, in an evaluation that a stop left undone, or right after a save."""
    whole = to_the_end(tmp_path / "whole", [], [])
    draw = random.Random(seed)
    polls = [draw.randrange(2, 12) for _ in range(9)]
    dies = [draw.random() < 0.5 for _ in polls]
    kills = [poll if die else NEVER for poll, die in zip(polls, dies, strict=True)]
    stops = [NEVER if die else poll for poll, die in zip(polls, dies, strict=True)]
    assert to_the_end(tmp_path / "pieces", kills, stops) == whole


def test_a_checkpoint_written_late_is_the_state_that_it_was_taken_from(tmp_path: Path) -> None:
    for kind, trial in (("now", DirectoryTrial), ("later", LaterTrial)):
        attempt(trial(tmp_path / kind))
    written = sorted(path for path in (tmp_path / "now").rglob("*") if path.is_file())
    assert len(written) > 50
    for path in written:
        assert path.read_bytes() == (tmp_path / "later" / path.relative_to(tmp_path / "now")).read_bytes(), (
            path
        )
