"""What checkpoints cost a training: the same steps with and without them, in turn.

The real loop, trial and checkpoint store, on this disk; no W&B. Random token ids stand for the text.

Example: python -m benchmarks.checkpoint_cost --steps 200 --interval 20 --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from transformer_e2e.runs.live_trial import LiveTrial


class NoSession:
    """Takes the place of the W&B run: takes everything, sends nothing."""

    rows_held = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@dataclass(frozen=True)
class Cost:
    wall: float  # seconds
    cpu: float  # seconds, of all threads


def main() -> None:
    arguments = parser().parse_args()
    from transformer_e2e.trainer.device import prepare_process

    threads = prepare_process(arguments.threads)
    print(f"{threads} threads, {arguments.steps} steps, a checkpoint every {arguments.interval}", flush=True)
    measure(arguments, interval=0, steps=10)
    found: dict[str, list[Cost]] = {"without": [], "with": []}
    for _ in range(arguments.rounds):
        for name, interval in (("without", 0), ("with", arguments.interval)):
            found[name].append(measure(arguments, interval=interval, steps=arguments.steps))
            cost = found[name][-1]
            print(f"{name:8} {cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU", flush=True)
    median = {name: statistics.median(cost.wall for cost in costs) for name, costs in found.items()}
    print(
        f"median   {median['without']:.2f} s without, {median['with']:.2f} s with: ratio "
        f"{median['with'] / median['without']:.4f}"
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
    built.add_argument("--directory", help="where checkpoints are written (default: a temporary directory)")
    return built


def measure(arguments: argparse.Namespace, *, interval: int, steps: int) -> Cost:
    import numpy as np
    import torch

    from transformer_e2e.config.settings import ModelSettings, TrainSettings
    from transformer_e2e.model.shape import ModelShape
    from transformer_e2e.trainer.device import multiplies_bf16
    from transformer_e2e.trainer.loop import train
    from transformer_e2e.trainer.state import new_state

    device = torch.device("cpu")
    values = vars(arguments)
    sizes = {name: values[name] for name in asdict(ModelSettings()) if name in values}
    settings = TrainSettings(
        batch_size=arguments.batch_size,
        max_steps=steps,
        eval_interval=steps,
        precision="bf16" if multiplies_bf16(device) else "fp32",
    )
    shape = ModelShape.of(ModelSettings(**sizes), arguments.vocab_size, arguments.context_window)
    state = new_state(shape, settings, device)
    size = (arguments.batch_size, arguments.context_window + 1)
    ended: list[tuple[float, float]] = []

    def progress(now: Any) -> None:
        if now.step == steps:
            ended.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        trial = live_trial(Path(folder))
        wall, cpu = time.perf_counter(), time.process_time()
        train(
            state,
            lambda index: np.random.default_rng(index).integers(0, shape.vocab_size, size),
            lambda model, whole: {"eval/loss": float(state.step)},
            trial,
            settings,
            log_interval=10,
            checkpoint_interval=interval,
            on_progress=progress,
        )
        if interval:
            ended.append((time.perf_counter(), time.process_time()))
    return Cost(ended[-1][0] - wall, ended[-1][1] - cpu)


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
