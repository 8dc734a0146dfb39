"""What a training tells to type next works as it stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.test_runs_completion import record
from transformer_e2e.launch.afterwards import next_lines
from transformer_e2e.runs import completion
from transformer_e2e.runs.completion import Ending, Status


def test_a_trial_with_a_model_is_shown_and_used_where_it_lies(tmp_path: Path) -> None:
    completion.write(tmp_path, replace(record(), artifact="local/p/model-toy-1:v0"))
    assert next_lines(tmp_path, "toy-1", {}) == [
        f"next: python scripts/manage_completed_runs.py --checkpoint_dir {tmp_path} status toy-1",
        f"      python -m transformer_e2e.scripts.generate --run_id toy-1 --checkpoint_dir {tmp_path} "
        f"--prompt 'Return a list'",
    ]


def test_no_model_is_used_where_there_is_none(tmp_path: Path) -> None:
    completion.write(tmp_path, replace(record(), status=Status.CLEANED, outcome=Ending.DIVERGED))
    assert [line.split()[-2:] for line in next_lines(tmp_path, "toy-1", {})] == [["status", "toy-1"]]


def test_the_usual_folder_is_not_named() -> None:
    assert next_lines(Path("model_checkpoints"), "toy-1", {}) == [
        "next: python scripts/manage_completed_runs.py status toy-1"
    ]
