"""Real processes of the training script on a tiny corpus, for tests."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.serving import REPOSITORY

START_SECONDS = 300.0  # to import torch on two busy cores
END_SECONDS = 600.0  # a server that does not answer costs 180 s of patience
# Every generator and every part of the state takes part: dropout, accumulation, checkpoints between
# evaluations, an optimizer with moments, a schedule that has not ended.
TINY = {
    "tokenizer": "bpe:300",
    "context_window": 16,
    "num_layers": 1,
    "num_heads": 2,
    "model_dim": 32,
    "dropout": 0.2,
    "batch_size": 4,
    "gradient_accumulation": 2,
    "max_steps": 48,
    "warmup_steps": 5,
    "eval_interval": 12,
    "checkpoint_interval": 7,
    "log_interval": 1,
    "threads": 1,
}


@dataclass(frozen=True)
class Workplace:
    """A folder with a small corpus; trials live in `checkpoints`, whose name each test chooses."""

    folder: Path
    processes: int = 1  # more than one: under torchrun

    def prepare(self) -> Workplace:
        words = [f"word{n}" for n in range(60)]
        draw = random.Random(7)
        lines = (" ".join(draw.choices(words, k=12)) for _ in range(400))
        (self.folder / "corpus.txt").write_text("\n\n".join(lines))
        return self

    def settings(self, checkpoints: str, **settings: Any) -> dict[str, Any]:
        given = {**TINY, "dataset": str(self.folder / "corpus.txt"), **settings}
        folders = {
            "checkpoint_dir": str(self.folder / checkpoints),
            "cache_dir": str(self.folder / "cache"),
            "plot_dir": str(self.folder / "plots"),
        }
        return given | folders

    def command(self, checkpoints: str, **settings: Any) -> list[str]:
        flags = [f"--{name}={value}" for name, value in self.settings(checkpoints, **settings).items()]
        return [sys.executable, *self.launcher(), "-m", "transformer_e2e.scripts.train", *flags]

    def launcher(self) -> list[str]:
        """What stands between `python` and the program."""
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={self.processes}"]
        return torchrun if self.processes > 1 else []

    def start(self, env: dict[str, str], checkpoints: str, **settings: Any) -> subprocess.Popen[str]:
        return _started(self.command(checkpoints, **settings), env)

    def finish(self, env: dict[str, str], checkpoints: str, exit_code: int = 0, **settings: Any) -> str:
        """Run to the end; returns what was printed."""
        process = self.start(env, checkpoints, **settings)
        output, _ = process.communicate(timeout=END_SECONDS)
        assert process.returncode == exit_code, output
        return output

    def stop_at_row(
        self, env: dict[str, str], checkpoints: str, rows: int, number: int, **settings: Any
    ) -> int:
        """Start, send signal `number` when `rows` metric rows are on disk, return the exit code."""
        process = self.start_and_await(env, checkpoints, rows, **settings)
        process.send_signal(number)
        process.communicate(timeout=END_SECONDS)
        return process.returncode

    def start_and_await(
        self, env: dict[str, str], checkpoints: str, rows: int, **settings: Any
    ) -> subprocess.Popen[str]:
        """A training that stays when it has logged `rows` metric rows (tests.held): until `let_go`, or
        until a signal reaches the process that logs."""
        note = self._note(checkpoints)
        note.unlink(missing_ok=True)  # of one that was killed there
        command = self.command(checkpoints, **settings)
        program = next(at for at, word in enumerate(command) if word.startswith("transformer_e2e."))
        command.insert(program, "tests.held")
        process = _started(command, {**env, "HELD_AT_ROW": str(rows), "HELD_NOTE": str(note)})
        deadline = time.monotonic() + START_SECONDS
        while not note.exists():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.01)
        assert len(self.rows(checkpoints)) == rows
        return process

    def let_go(self, checkpoints: str) -> None:
        """Let the training that `start_and_await` left behind go on."""
        self._note(checkpoints).unlink()

    def _note(self, checkpoints: str) -> Path:
        return self.folder / f"{checkpoints}.held"

    def trial(self, checkpoints: str) -> Path | None:
        found = [path.parent for path in (self.folder / checkpoints).glob("*/attempts.jsonl")]
        return found[0] if found else None

    def rows(self, checkpoints: str) -> list[dict[str, Any]]:
        """What the trial logged, without speeds and times."""
        trial = self.trial(checkpoints)
        if trial is None or not (trial / "metrics.jsonl").exists():
            return []
        lines = (trial / "metrics.jsonl").read_text().splitlines(keepends=True)
        return [comparable(json.loads(line)) for line in lines if line.endswith("\n")]

    def record(self, checkpoints: str) -> dict[str, Any]:
        (path,) = (self.folder / checkpoints / "completion_tracking").glob("*_completed.json")
        content: dict[str, Any] = json.loads(path.read_text())
        return content


def _started(command: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    metrics = {name: value for name, value in row["metrics"].items() if not name.startswith("perf/")}
    return {"step": row["step"], "metrics": metrics}


def offline(home: Path) -> dict[str, str]:
    """An environment in which W&B logs to files below `home` and nothing is asked of any server."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**inherited, "HOME": str(home), "WANDB_DIR": str(home), "WANDB_MODE": "offline"}
