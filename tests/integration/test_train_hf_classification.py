"""Classification through the real command: a table is understood, or refused before anything is made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serving import REPOSITORY
from tests.training import offline

SHAPE = "hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64"
COLOURS = {"sky": "blue", "grass": "green", "rose": "red"}


def table(path: Path, unlabeled: int) -> Path:
    """Every word of COLOURS forty times, two texts an example; the first ones without their label."""
    words = list(COLOURS)
    rows = [
        {"sentence1": f"look at the {word}", "sentence2": f"number {i}", "label": COLOURS[word]}
        for i in range(40)
        for word in words
    ]
    for row in rows[:unlabeled]:
        row["label"] = ""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(folder: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    given = {
        "task": "classification",
        "config_overrides": SHAPE,
        "vocab_size": 300,
        "max_seq_length": 32,
        "max_steps": 60,
        "per_device_train_batch_size": 16,
        "learning_rate": 3e-3,
        "checkpoint_dir": folder / "trials",
        "plot_dir": folder / "plots",
        "cache_dir": folder / "cache",
        **settings,
    }
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "transformer_e2e.scripts.train_hf",
            *(f"--{name}={value}" for name, value in given.items()),
        ],
        cwd=REPOSITORY,
        env={**offline(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_pair_of_texts_is_learnt_and_the_record_says_what_was_inferred(tmp_path: Path) -> None:
    path = table(tmp_path / "rows.jsonl", unlabeled=6)
    done = train(
        tmp_path,
        train_file=path,
        drop_unlabeled=True,
        max_steps=200,
        eval_steps=50,
        validation_split_percentage=20,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "examples have no label (label is missing or -1); they are left out" in done.stdout
    assert "text: sentence1 + sentence2; label: one of 3 labels: blue, green, red" in done.stdout
    (record,) = (tmp_path / "trials" / "completion_tracking").glob("*_completed.json")
    content = json.loads(record.read_text())
    schema = content["schema"]
    assert (schema["text_fields"], schema["label_field"]) == (["sentence1", "sentence2"], "label")
    assert (schema["labels"], schema["problem"]) == (["blue", "green", "red"], "classification")
    assert content["metrics"]["eval/accuracy"] > 0.9 and content["metrics"]["eval/f1"] > 0.9
    (best,) = (tmp_path / "trials").glob("*/best")
    assert json.loads((best.resolve() / "schema.json").read_text()) == schema


def test_unlabeled_examples_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = train(tmp_path, train_file=table(tmp_path / "rows.jsonl", unlabeled=6), model_type="brt")
    assert done.returncode == 2, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "examples have no label (label is missing or -1); --drop_unlabeled leaves them out" in said
    assert "--model_type=brt is not known" in said and "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["rows.jsonl"]
