"""The README's classification, as it is typed there, beats the most frequent package by 20 points."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hf_baselines import most_frequent
from tests.serving import REPOSITORY
from tests.training import offline
from transformer_e2e.data import docstring_table

COMMAND = (
    "python -m transformer_e2e.scripts.train_hf --task classification --learning_rate 1e-3 "
    "--num_train_epochs 10 --per_device_train_batch_size 32 --max_seq_length 96 "
    "--metric_for_best_model accuracy"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_model_from_scratch_tells_packages_apart(tmp_path: Path) -> None:
    _, *arguments = shlex.split(COMMAND)
    folders = [f"--{name}={tmp_path / name}" for name in ("checkpoint_dir", "cache_dir", "plot_dir")]
    done = subprocess.run(
        [sys.executable, *arguments, *folders],
        cwd=REPOSITORY,
        env={**offline(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (tmp_path / "checkpoint_dir" / "completion_tracking").glob("*_completed.json")
    record = json.loads(path.read_text())
    to_beat = most_frequent(docstring_table.rows("validation"))["accuracy"]
    assert record["metrics"]["best/eval/accuracy"] > to_beat + 0.20
    assert set(record["schema"]["labels"]) == {row["package"] for row in docstring_table.rows("train")}
