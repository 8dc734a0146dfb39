"""The README's models from scratch, as they are typed there, against what needs no model."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hf_baselines import first_sentence, most_frequent
from tests.serving import REPOSITORY
from tests.training import offline
from transformer_e2e.data import docstring_qa, docstring_table

CLASSIFICATION = (
    "python -m transformer_e2e.scripts.train_hf --task classification --learning_rate 1e-3 "
    "--num_train_epochs 10 --per_device_train_batch_size 32 --max_seq_length 96 "
    "--metric_for_best_model accuracy"
)
QUESTIONS = (
    "python -m transformer_e2e.scripts.train_hf --task extractive_qa --learning_rate 1e-3 "
    "--num_train_epochs 2 --per_device_train_batch_size 16"
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def trained(command: str, folder: Path) -> dict[str, Any]:
    """The completion record of a command that ends well."""
    _, *arguments = shlex.split(command)
    folders = [f"--{name}={folder / name}" for name in ("checkpoint_dir", "cache_dir", "plot_dir")]
    done = subprocess.run(
        [sys.executable, *arguments, *folders],
        cwd=REPOSITORY,
        env={**offline(folder), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (folder / "checkpoint_dir" / "completion_tracking").glob("*_completed.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_packages_are_told_apart_20_points_better_than_by_one_answer_for_all(tmp_path: Path) -> None:
    record = trained(CLASSIFICATION, tmp_path)
    to_beat = most_frequent(docstring_table.rows("validation"))["accuracy"]
    assert record["metrics"]["best/eval/accuracy"] > to_beat + 0.20
    assert set(record["schema"]["labels"]) == {row["package"] for row in docstring_table.rows("train")}


def test_questions_are_answered_better_than_by_the_first_sentence(tmp_path: Path) -> None:
    found = trained(QUESTIONS, tmp_path)["metrics"]
    to_beat = first_sentence(docstring_qa.rows("validation"))
    assert found["best/eval/exact_match"] > to_beat["exact_match"] + 5
    assert found["best/eval/f1"] > to_beat["f1"] + 5
