"""Language models trained by the command are judged as in training, and used, from their artifact alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess
from tests.unit.test_tasks_language import sentences
from transformer_e2e.runs import completion

TEXTS = {"mlm": "the cat [MASK] on a mat", "clm": "the cat sat on"}


def typed(server: ServerProcess, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"transformer_e2e.scripts.{program}", *arguments],
        cwd=REPOSITORY,
        env={**server.env, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("task", TEXTS)
def test_a_language_model_is_trained_judged_and_used(
    wandb_server: ServerProcess, tmp_path: Path, task: str
) -> None:
    (tmp_path / "train.txt").write_text("".join(sentences(1, 200)))
    (tmp_path / "held.txt").write_text("".join(sentences(2, 60)))
    root = tmp_path / "trials"
    typed(
        wandb_server,
        "train_hf",
        *(f"--task={task}", "--block_size=16", "--vocab_size=300", "--max_steps=20", "--learning_rate=1e-2"),
        "--config_overrides=hidden_size=32,num_hidden_layers=1,num_attention_heads=2",
        *(f"--train_file={tmp_path / 'train.txt'}", f"--validation_file={tmp_path / 'held.txt'}"),
        *("--eval_strategy=steps", "--eval_steps=5", "--preprocessing_num_workers=2"),
        *(f"--cache_dir={tmp_path / 'cache'}", f"--plot_dir={tmp_path / 'plots'}"),
        f"--checkpoint_dir={root}",
    )
    (record,) = completion.records(root)
    assert record.status == "cleaned" and record.schema is not None
    assert record.schema["text_fields"] == ["text"] and record.schema["max_length"] == 16
    assert record.metrics["eval/perplexity"] == math.exp(record.metrics["eval/loss"])
    assert record.best_metric < math.log(30) - 0.3  # of about 30 words and points
    where = (f"--checkpoint_dir={root}", "--json")
    found = json.loads(typed(wandb_server, "evaluate", *where))
    assert found["metrics"]["loss"] == pytest.approx(record.best_metric, rel=1e-5)
    answer = json.loads(typed(wandb_server, "infer", *where, TEXTS[task]).splitlines()[-1])
    assert answer["text"] == TEXTS[task]
    if task == "mlm":
        assert len(answer["masks"]) == 1 and "[MASK]" not in answer["filled"]
    else:
        assert answer["continuation"]
