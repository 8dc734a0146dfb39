"""What checkpoints cost a training: the same steps with and without them, in turn.

The real loop, trial and checkpoint store, on this disk; no W&B. Random token ids stand for the
text. The time with checkpoints ends when the last one is complete, the time without at the last
step. Beside them: a save that training waits for.

Example: python -m benchmarks.checkpoint_cost --steps 200 --interval 20 --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from transformer_e2e.config.settings import TrainSettings
    from transformer_e2e.runs.live_trial import LiveTrial
    from transformer_e2e.trainer.state import TrainState
    from transformer_e2e.trainer.step import Batches


class NoSession:
    """Takes the place of the W&B run: takes everything, sends nothing."""

    rows_held = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@dataclass(frozen=True)
class Case:
    """A training that has not begun."""

    settings: TrainSettings
    state: TrainState
    batches: Batches


@dataclass(frozen=True)
class Cost:
    wall: float  # seconds
    cpu: float  # seconds, of all threads


def main() -> None:
    arguments = parser().parse_args()
    from transformer_e2e.compute.device import prepare_process

    threads = prepare_process(arguments.threads)
    measure(arguments, interval=0, steps=10)  # memory and libraries are warm afterwards
    save = synchronous_save(arguments)
    found: dict[str, list[Cost]] = {"without": [], "with": []}
    for _ in range(arguments.rounds):
        for name, interval in (("without", 0), ("with", arguments.interval)):
            cost = measure(arguments, interval=interval, steps=arguments.steps)
            found[name].append(cost)
            print(f"{name:8} {cost.wall:8.3f} s   {cost.cpu:8.3f} s of CPU", flush=True)
    wall = {name: statistics.median(cost.wall for cost in costs) for name, costs in found.items()}
    cpu = {name: statistics.median(cost.cpu for cost in costs) for name, costs in found.items()}
    saves = -(-arguments.steps // arguments.interval)
    print(
        f"{threads} threads, {arguments.steps} steps, a checkpoint every {arguments.interval}; medians of "
        f"{arguments.rounds} rounds: {wall['without']:.3f} s without, {wall['with']:.3f} s with, ratio "
        f"{wall['with'] / wall['without']:.4f}; a checkpoint costs "
        f"{1e3 * (wall['with'] - wall['without']) / saves:.0f} ms "
        f"({1e3 * (cpu['with'] - cpu['without']) / saves:.0f} ms of CPU), one that training waits for "
        f"{1e3 * save.wall:.0f} ms ({1e3 * save.cpu:.0f} ms of CPU)"
    )


def parser() -> argparse.ArgumentParser:
    built = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {
        "rounds": (5, "how often both are measured"),
        "steps": (200, "steps of one measurement"),
        "interval": (20, "steps between two checkpoints"),
        "num_layers": (4, "blocks"),
        "num_heads": (4, "heads in each block"),
        "model_dim": (256, "width [channels]"),
        "context_window": (128, "[tokens]"),
        "vocab_size": (8192, "[token ids]"),
        "batch_size": (16, "[sequences]"),
        "threads": (0, "CPU threads; 0: as torch finds"),
    }
    for name, (default, text) in numbers.items():
        built.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    built.add_argument("--optimizer", default="adamw", help="adamw or muon, as in training (default adamw)")
    built.add_argument(
        "--directory", type=folder, help="where checkpoints are written (default: the temporary folder)"
    )
    return built


def folder(name: str) -> str:
    """Made if it is not there."""
    Path(name).mkdir(parents=True, exist_ok=True)
    return name


def new_case(arguments: argparse.Namespace, steps: int) -> Case:
    import numpy as np
    import torch

    from transformer_e2e.compute.device import multiplies_bf16
    from transformer_e2e.config.settings import ModelSettings, TrainSettings
    from transformer_e2e.model.shape import ModelShape
    from transformer_e2e.trainer.state import new_state

    device = torch.device("cpu")
    sizes = {name: value for name, value in vars(arguments).items() if name in asdict(ModelSettings())}
    settings = TrainSettings(
        batch_size=arguments.batch_size,
        max_steps=steps,
        eval_interval=steps,
        optimizer=arguments.optimizer,
        precision="bf16" if multiplies_bf16(device) else "fp32",
    )
    shape = ModelShape.of(ModelSettings(**sizes), arguments.vocab_size, arguments.context_window)
    size = (arguments.batch_size, arguments.context_window + 1)
    return Case(
        settings,
        new_state(shape, settings, device),
        lambda index: np.random.default_rng(index).integers(0, shape.vocab_size, size),
    )


def measure(arguments: argparse.Namespace, *, interval: int, steps: int) -> Cost:
    """One training with a checkpoint every `interval` steps, or (0) up to its last step without any."""
    from transformer_e2e.trainer.loop import train

    case, stop = new_case(arguments, steps), Stopwatch()

    def progress(now: Any) -> None:
        if now.step == steps:
            stop.lap()

    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        trial = live_trial(Path(folder))
        stop.begin()
        train(
            case.state,
            case.batches,
            lambda model, whole: {"eval/loss": 1.0},
            trial,
            case.settings,
            log_interval=10,
            checkpoint_interval=interval,
            on_progress=progress,
        )
        trial.settle()
        if interval:
            stop.lap()
    return stop.cost


def synchronous_save(arguments: argparse.Namespace, count: int = 5) -> Cost:
    """The median of saves that are waited for, a step between two of them."""
    from transformer_e2e.trainer.loop import next_batch
    from transformer_e2e.trainer.saver import Saver
    from transformer_e2e.trainer.step import take_step

    case = new_case(arguments, steps=100)
    costs = []
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        following = next_batch(case.batches, case.settings)
        saver = Saver(case.state, live_trial(Path(folder)), following, lambda _: None)
        for _ in range(count):
            take_step(case.state, case.batches, case.settings, lambda: False)
            costs.append(timed(lambda: saver.save(best=False, required=True, last=True)))
    return Cost(statistics.median(c.wall for c in costs), statistics.median(c.cpu for c in costs))


def timed(work: Callable[[], object]) -> Cost:
    stop = Stopwatch()
    stop.begin()
    work()
    stop.lap()
    return stop.cost


class Stopwatch:
    """Wall time and CPU time from `begin` to the last `lap`."""

    def begin(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self) -> None:
        self.cost = Cost(time.perf_counter() - self._wall, time.process_time() - self._cpu)


def live_trial(directory: Path) -> LiveTrial:
    from transformer_e2e.runs.checkpoints import CheckpointStore
    from transformer_e2e.runs.journal import Journal
    from transformer_e2e.runs.live_trial import LiveTrial
    from transformer_e2e.runs.spec import TrialSpec
    from transformer_e2e.runs.stop import StopRequest
    from transformer_e2e.runs.tracker import Session

    spec = TrialSpec(run_id="benchmark", counted={}, settings={}, root=directory, project="benchmark")
    spec.directory.mkdir(parents=True)
    return LiveTrial(
        spec,
        journal=Journal(spec.directory),
        store=CheckpointStore(spec.directory, keep=2, say=print),
        session=cast(Session, NoSession()),
        stop=StopRequest(),
        say=print,
    )


if __name__ == "__main__":
    main()
