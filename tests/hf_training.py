"""Real processes of the Hugging Face program on tiny data, for tests."""

from __future__ import annotations

import csv
import hashlib
import random
import sys
from pathlib import Path
from typing import Any

from tests.training import Workplace

SHAPE = "hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64"
# Evaluations and checkpoints are out of step with each other and with the epochs; dropout is BERT's own.
TINY: dict[str, Any] = {
    "config_overrides": SHAPE,
    "vocab_size": 300,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
    "logging_steps": 1,
    "eval_steps": 13,
    "save_steps": 5,
    "device": "cpu",
}
TASKS: dict[str, dict[str, Any]] = {
    "mlm": {"block_size": 32, "max_train_samples": 120},
    "classification": {"max_seq_length": 32},
}


class HfWorkplace(Workplace):
    """A folder with a text and a table of labelled texts; trials live in `checkpoints`."""

    def prepare(self) -> HfWorkplace:
        super().prepare()
        draw = random.Random(11)
        words = [f"word{n}" for n in range(40)]
        for name, count in (("train", 120), ("validation", 30)):
            rows = [draw.choices(words, k=draw.randrange(4, 12)) for _ in range(count)]
            with open(self.folder / f"{name}.csv", "w", newline="") as file:
                csv.writer(file).writerows(
                    [("text", "label"), *((" ".join(row), row[0] < "word25") for row in rows)]
                )
        return self

    def settings(self, checkpoints: str, **settings: Any) -> dict[str, Any]:
        task = settings.get("task", "classification")
        if task == "mlm":
            files = {"train_file": str(self.folder / "corpus.txt")}
        else:
            files = {f"{name}_file": str(self.folder / f"{name}.csv") for name in ("train", "validation")}
        folders = {
            "checkpoint_dir": str(self.folder / checkpoints),
            "cache_dir": str(self.folder / "cache"),
            "plot_dir": str(self.folder / "plots"),
        }
        return {"task": task, **TINY, **TASKS[task], **files, **settings, **folders}

    def command(self, checkpoints: str, **settings: Any) -> list[str]:
        flags = [f"--{name}={value}" for name, value in self.settings(checkpoints, **settings).items()]
        return [sys.executable, *self.launcher(), "-m", "transformer_e2e.scripts.train_hf", *flags]

    def digests(self, checkpoints: str) -> dict[str, str]:
        """SHA-256 of every file of every checkpoint, by its path below the trial; times differ elsewhere."""
        trial = self.trial(checkpoints)
        assert trial is not None
        files = [path for path in trial.glob("step-*/*") if path.name != "manifest.json"]
        return {str(path.relative_to(trial)): _sha(path) for path in sorted(files)}


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
