"""A training run small enough to repeat dozens of times, with everything on that makes resuming hard:
dropout, changing batches, accumulation, partial evaluations, patience, generators used elsewhere.

Run as a program it is the new process of the resume tests:
`python -m tests.unit.training_case CHECKPOINT PRECISION [compile]` resumes, trains to the end, prints JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transformer_e2e.compute import generators
from transformer_e2e.compute.certificate import digest_json, digest_tensors
from transformer_e2e.compute.device import prepare_process
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.model.shape import ModelShape
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.save_thread import SaveThread
from transformer_e2e.runs.trial import Fill
from transformer_e2e.trainer.evaluation import Evaluator
from transformer_e2e.trainer.loop import resume, train
from transformer_e2e.trainer.optimizer import named_state
from transformer_e2e.trainer.state import TrainState, new_state

SHAPE = ModelShape(
    vocab_size=32, context_window=8, num_layers=2, num_heads=2, model_dim=16, mlp_dim=32, dropout=0.2
)
LOG_INTERVAL, CHECKPOINT_INTERVAL = 2, 5


def case_settings(precision: str, **changes: Any) -> TrainSettings:
    values: dict[str, Any] = {
        "batch_size": 4,
        "gradient_accumulation": 2,
        "max_steps": 10,
        "warmup_steps": 2,
        "learning_rate": 1e-2,
        "eval_interval": 3,
    }
    return TrainSettings(precision=precision, **(values | changes))


def batches(index: int) -> np.ndarray:
    return np.random.default_rng(1_000_003 + index).integers(0, 32, (4, 9))


class Killed(Exception):
    """Stands in for kill -9: nothing after it runs."""


@dataclass
class DirectoryTrial:
    """A trial whose checkpoints are directories and whose rows are a list.

    `stop_at`: the poll from which on a stop is requested; `kill_at`: the poll at which the process dies.
    """

    directory: Path
    stop_at: float = float("inf")
    kill_at: float = float("inf")
    polls: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    saves: list[tuple[int, bool, float | None]] = field(default_factory=list)

    @property
    def stop_requested(self) -> bool:
        self.polls += 1
        if self.polls >= self.kill_at:
            raise Killed
        return self.polls >= self.stop_at

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        kept = {name: value for name, value in metrics.items() if not name.startswith("perf/")}
        self.rows.append({"step": step, **kept})

    def save(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        target = self.directory / f"step-{step:08d}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        fill(target)
        (target / "rows.json").write_text(json.dumps(self.rows))
        self.saves.append((step, best, metric))

    def save_later(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        self.save(fill, step=step, best=best, metric=metric)

    def settle(self) -> None: ...

    def restore(self, load: Callable[[Path], None]) -> int | None:
        found = sorted(self.directory.glob("step-*"))
        if not found:
            return None
        load(found[-1])
        self.rows = json.loads((found[-1] / "rows.json").read_text())
        return int(found[-1].name.removeprefix("step-"))


class LaterTrial(DirectoryTrial):
    """Writes in a thread, and only when the training is some steps further: at the next `settle`."""

    thread: SaveThread[None] | None = None

    def save_later(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        rows, self.go = list(self.rows), threading.Event()
        go = self.go

        def work() -> None:
            go.wait()
            kept, self.rows = self.rows, rows
            self.save(fill, step=step, best=best, metric=metric)
            self.rows = kept

        self.thread = SaveThread()
        self.thread.start(work)

    def settle(self) -> None:
        if self.thread:
            self.go.set()
            self.thread.wait()


def run(trial: DirectoryTrial, settings: TrainSettings) -> tuple[TrainState, Outcome]:
    """One attempt: a fresh state, the newest checkpoint if there is one, then training."""
    prepare_process(threads=1)
    state = new_state(SHAPE, settings, torch.device("cpu"))
    evaluator = Evaluator(
        windows_NT1=np.random.default_rng(7).integers(0, 32, (11, 9)),
        text_bytes=300,
        text_words=60,
        batch_size=4,
        window_limit=7,
        precision=settings.precision,
        should_stop=lambda: trial.stop_requested,
    )

    def evaluate(model: Any, whole: bool) -> dict[str, float] | None:
        draw_from_all_generators()  # an evaluation that samples must not change the training
        return evaluator(model, whole)

    resume(state, batches, trial, settings)
    outcome = train(
        state,
        batches,
        evaluate,
        trial,
        settings,
        log_interval=LOG_INTERVAL,
        checkpoint_interval=CHECKPOINT_INTERVAL,
    )
    return state, outcome


def draw_from_all_generators() -> None:
    random.random(), np.random.rand(), torch.rand(3)


def fingerprint(state: TrainState, outcome: Outcome, rows: list[dict[str, float]]) -> dict[str, Any]:
    """All that must be equal: every bit of weights, optimizer and generators, every row, every counter."""
    drawn = generators.capture()
    return {
        "outcome": outcome.value,
        "weights": digest_tensors(state.model.state_dict()),
        "optimizer": digest_tensors(named_state(state.model, state.optimizer)),
        "generators": [digest_tensors(drawn.tensors), digest_json(drawn.plain)],
        "counters": [state.step, state.best_loss, state.evals_since_best, state.tokens_seen],
        "rows": rows,
    }


def scramble_generators() -> None:
    """A new process does not start with the old one's generators."""
    generators.seed_all(999)
    draw_from_all_generators()


if __name__ == "__main__":
    trial = DirectoryTrial(Path(sys.argv[1]))
    scramble_generators()
    settings = case_settings(sys.argv[2], compile="compile" in sys.argv[3:])
    print(json.dumps(fingerprint(*run(trial, settings), trial.rows)))
