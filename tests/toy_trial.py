"""A trial that adds numbers instead of training: real life, real W&B, no torch. Run as a process by tests.

    python -m tests.toy_trial '{"root": "...", "steps": 8}'

Prints next to nothing of its own; what it did is read from its directory and from the server.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transformer_e2e.errors import DataError
from transformer_e2e.runs import completion, conclusion, tracker_artifacts
from transformer_e2e.runs.checkpoints import CheckpointStore
from transformer_e2e.runs.identity import run_id
from transformer_e2e.runs.life import Result, TrialSpec, run_trial
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.trial import Trial

STARTED_BY = os.getppid()


@dataclass(kw_only=True)
class Toy:
    root: str
    name: str = "toy"
    steps: int = 8
    eval_interval: int = 4
    seed: int = 1
    slow: float = 0.0  # seconds a step
    later: bool = False  # save in the background
    slow_save: float = 0.0  # seconds that writing a checkpoint takes
    slow_start: float = 0.0  # seconds of imports and data before training
    waits_at: int | None = None  # after this step it waits for a stop, or until the file `gate` is there
    gate: str | None = None
    hangs_at: int | None = None  # this step says so and never ends
    kill_at_step: int | None = None  # SIGKILL before this step's row is logged
    kill_after: str | None = None  # SIGKILL after this part of publishing, see FAULTS
    diverges: bool = False
    fails: str | None = None  # "bug" or "data"
    payload: int = 1000  # bytes of the model
    file_limit: int | None = None  # no file may become larger [bytes], as on a full disk
    patience: float | None = None  # seconds until a silent or failing W&B is given up, instead of minutes
    life: dict[str, Any] = field(default_factory=dict)  # of TrialSpec

    @property
    def run_id(self) -> str:
        return run_id(self.counted, readable=self.name)

    @property
    def is_let_go(self) -> bool:
        """The gate is there, or nobody is left to open it."""
        return (self.gate is not None and Path(self.gate).exists()) or os.getppid() != STARTED_BY

    @property
    def counted(self) -> dict[str, Any]:
        return {"seed": self.seed, "steps": self.steps, "eval_interval": self.eval_interval}

    def spec(self) -> TrialSpec:
        return TrialSpec(
            run_id=self.run_id,
            counted=self.counted,
            settings={**self.counted, "slow": self.slow},
            root=Path(self.root),
            project="toys",
            artifact_files=("model.bin", "sum.json"),
            **self.life,
        )


def loss_at(seed: int, step: int) -> float:
    return seed + 1.0 / (3 * step + 1)


def sum_after(seed: int, steps: int) -> float:
    """Of the losses, one after the other: since Python 3.12 `sum` makes up for its rounding."""
    total = 0.0
    for step in range(1, steps + 1):
        total += loss_at(seed, step)
    return total


def work(toy: Toy, trial: Trial) -> Result:
    """Add up the losses; exactness of a resume shows in the sum."""
    if toy.fails == "data":
        raise DataError("the corpus is not there; train on another one")
    time.sleep(toy.slow_start)
    state = {"step": 0, "sum": 0.0}
    trial.restore(lambda place: state.update(json.loads((place / "sum.json").read_text())))

    def filler() -> Callable[[Path], None]:
        return partial(fill, json.dumps(state))

    def fill(content: str, place: Path) -> None:
        time.sleep(toy.slow_save)
        (place / "sum.json").write_text(content)
        (place / "model.bin").write_bytes(bytes([toy.seed % 256]) * toy.payload)
        (place / "optimizer.bin").write_bytes(b"moments")

    while state["step"] < toy.steps:
        while state["step"] == toy.waits_at and not (trial.stop_requested or toy.is_let_go):
            time.sleep(0.01)
        if trial.stop_requested:
            trial.save(filler(), step=int(state["step"]), best=False)
            return Result(Outcome.STOPPED)
        step = int(state["step"]) + 1
        if toy.kill_at_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        state["step"] = step
        state["sum"] += loss_at(toy.seed, step)
        time.sleep(toy.slow)
        if step == toy.hangs_at:
            hang()
        if toy.fails == "bug" and step == 3:
            raise ZeroDivisionError("a bug at step 3")
        if toy.diverges and step == 3:
            trial.log({"train/loss": float("nan")}, step=step)
            return Result(Outcome.DIVERGED, steps=step)
        if step % toy.eval_interval == 0 or step == toy.steps:
            trial.log({"train/loss": loss_at(toy.seed, step), "eval/loss": state["sum"] / step}, step=step)
            save = trial.save_later if toy.later else trial.save
            save(filler(), step=step, best=True, metric=state["sum"] / step)
        else:
            trial.log({"train/loss": loss_at(toy.seed, step), "perf/clock": time.time()}, step=step)
    return Result(
        Outcome.FINISHED,
        {"eval/loss": state["sum"] / toy.steps, "sum": state["sum"]},
        steps=toy.steps,
        schema={"task": "sum", "labels": ["even", "odd"]},
        measured_on={"name": "numbers", "split": "validation", "examples": 12},
    )


def hang() -> None:
    print("this step never ends", flush=True)
    while os.getppid() == STARTED_BY:
        time.sleep(1)


def die_after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Let the process be killed the moment after a function has done its work."""
    original = getattr(owner, name)

    def fatal(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        if when(*arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, fatal)


FAULTS: dict[str, Callable[[], None]] = {
    "trained": lambda: die_after(completion, "write", lambda _, record: record.status == "trained"),
    "upload": lambda: die_after(tracker_artifacts, "upload"),
    "verify": lambda: die_after(tracker_artifacts, "differing_files"),
    "uploaded": lambda: die_after(completion, "write", lambda _, record: record.status == "uploaded"),
    "delete": lambda: die_after(CheckpointStore, "remove_all"),
    "cleaned": lambda: die_after(completion, "write", lambda _, record: record.status == "cleaned"),
}


def main() -> int:
    toy = Toy(**json.loads(sys.argv[1]))
    if toy.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (toy.file_limit, toy.file_limit))
    if toy.patience:
        tracker_artifacts._BASE_SECONDS = tracker_artifacts._SILENCE_SECONDS = toy.patience
        tracker_artifacts._PING_SECONDS = 0.5
        conclusion._FINISH_SECONDS = toy.patience
    if toy.kill_after:
        FAULTS[toy.kill_after]()
    return run_trial(toy.spec(), lambda trial: work(toy, trial))


if __name__ == "__main__":
    sys.exit(main())
