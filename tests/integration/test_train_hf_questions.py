"""Question answering through the real command: it learns, and a kill in the middle changes nothing."""

from __future__ import annotations

import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training import Workplace, offline

THINGS = ["sky", "grass", "rose", "snow", "sea", "sand"]
COLOURS = ["blue", "green", "red", "white", "grey", "yellow"]
SHAPE = "hidden_size=32,num_hidden_layers=1,num_attention_heads=2"
GIVEN: dict[str, dict[str, Any]] = {
    # Shorter windows than contexts: some hold no answer.
    "extractive_qa": {"max_seq_length": 32, "doc_stride": 8, "max_answer_length": 4},
    "generative_qa": {"max_seq_length": 96, "max_answer_length": 4, "max_eval_samples": 8},
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def questions(path: Path, count: int, seed: int) -> str:
    """Every second word of a context is a colour; the first after `is` is asked for."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        thing, colour, others = draw.choice(THINGS), draw.choice(COLOURS), draw.choices(COLOURS, k=12)
        words = [word for other in others for word in (other, draw.choice(THINGS))]
        words[2 * draw.randrange(12) : 0] = ["thing", "is", colour]
        context = " ".join(words)
        answers = {"text": [colour], "answer_start": [context.index(f"is {colour}") + 3]}
        rows.append(
            {"id": str(number), "context": context, "question": f"which {thing} is?", "answers": answers}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


class QuestionWorkplace(Workplace):
    def settings(self, checkpoints: str, **settings: Any) -> dict[str, Any]:
        name = settings["task"]
        return {
            **GIVEN[name],
            "config_overrides": SHAPE,
            "vocab_size": 300,
            "train_file": questions(self.folder / "train.jsonl", 160, 1),
            "validation_file": questions(self.folder / "held_out.jsonl", 40, 2),
            "per_device_train_batch_size": 8,
            "num_train_epochs": 2,
            "learning_rate": 5e-3,
            "logging_steps": 1,
            "eval_steps": 17,
            "save_steps": 6,
            "device": "cpu",
            "checkpoint_dir": str(self.folder / checkpoints),
            "cache_dir": str(self.folder / "cache"),
            "plot_dir": str(self.folder / "plots"),
            **settings,
        }

    def command(self, checkpoints: str, **settings: Any) -> list[str]:
        flags = [f"--{name}={value}" for name, value in self.settings(checkpoints, **settings).items()]
        return [sys.executable, "-m", "transformer_e2e.scripts.train_hf", *flags]


def environment(folder: Path) -> dict[str, str]:
    return offline(folder) | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def test_a_span_behind_a_word_is_learnt_across_windows(tmp_path: Path) -> None:
    place = QuestionWorkplace(tmp_path)
    output = place.finish(environment(tmp_path), "trials", task="extractive_qa", num_train_epochs=6)
    record = place.record("trials")
    assert record["metrics"]["best/eval/exact_match"] > 80, output
    assert record["schema"]["extra"]["doc_stride"] == 8 and record["schema"]["text_fields"]


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_kill_in_the_middle_changes_no_bit(name: str, tmp_path: Path) -> None:
    """Rows and final weights; the answers of generative_qa are written within the training."""
    place, env = QuestionWorkplace(tmp_path), environment(tmp_path)
    place.finish(env, "whole", task=name)
    assert place.stop_at_row(env, "killed", 20, signal.SIGKILL, task=name) == -signal.SIGKILL
    output = place.finish(env, "killed", task=name)
    assert "resum" in output.lower(), output
    assert place.rows("killed") == place.rows("whole")
    assert {"eval/loss", "eval/exact_match", "eval/f1"} <= set(place.rows("whole")[-1]["metrics"])
    assert weights(place, "killed") == weights(place, "whole")


def weights(place: Workplace, checkpoints: str) -> list[bytes]:
    trial = place.trial(checkpoints)
    assert trial is not None
    found = [path.read_bytes() for path in sorted(trial.glob("step-*/model.safetensors"))]
    assert found
    return found
