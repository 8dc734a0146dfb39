"""What train_hf has made is judged by `evaluate` as the training judged it, from the artifact alone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess
from transformer_e2e.runs import completion

MODEL = "--config_overrides=hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64"
SMALL = (MODEL, "--vocab_size=300", "--max_steps=12", "--learning_rate=5e-3", "--use_cpu")


def typed(server: ServerProcess, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"transformer_e2e.scripts.{program}", *arguments],
        cwd=REPOSITORY,
        env={**server.env, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_trained_classifier_scores_and_labels_as_it_did_in_training(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    draw = random.Random(3)
    animals = {"cat": "meows purrs scratches", "dog": "barks digs fetches", "cow": "moos grazes chews"}
    rows = [
        (" ".join(draw.choices(f"{name} {verbs} today and then".split(), k=6)), name)
        for name, verbs in animals.items()
        for _ in range(40)
    ]
    draw.shuffle(rows)
    (tmp_path / "animals.csv").write_text("said,who\n" + "\n".join(f"{text},{name}" for text, name in rows))
    root = tmp_path / "trials"
    where = (f"--checkpoint_dir={root}", "--project=use")
    typed(
        shared_server,
        "train_hf",
        *("--task=classification", f"--train_file={tmp_path / 'animals.csv'}", *SMALL),
        *(f"--cache_dir={tmp_path / 'cache'}", f"--plot_dir={tmp_path / 'plots'}", "--eval_steps=4"),
        *("--validation_split_percentage=25", "--per_device_eval_batch_size=4"),
        f"--checkpoint_dir={root}",
    )
    (record,) = completion.records(root)
    assert record.status == "cleaned" and record.schema is not None
    assert record.schema["labels"] == ["cat", "cow", "dog"] and record.schema["text_fields"] == ["said"]
    found = json.loads(typed(shared_server, "evaluate", *where, "--json"))
    assert found["weights"].startswith(f"artifact {record.artifact}")
    assert found["metrics"]["loss"] == pytest.approx(record.best_metric, rel=1e-6)
    table = typed(shared_server, "infer", *where, "--json", "cat meows today", "dog barks today")
    labels = [json.loads(line)["label"] for line in table.splitlines()]
    assert len(labels) == 2 and set(labels) <= {"cat", "cow", "dog"}
