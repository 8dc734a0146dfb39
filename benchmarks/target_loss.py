"""Seconds to the validation loss at which a plain GPT-2 with AdamW ends, on python-docs.

The plain side is transformers' GPT2LMHeadModel in a plain loop (`plain_gpt2`); learning rate and
schedule are those of a small grid with the lowest final loss. Ours is this repository's decoder
and trainer. Both see the same batches in the same order, multiply in the same precision with the
same threads, and are scored on the same validation windows; evaluation is in no time. Then each
element of our recipe is taken away, and added alone: steps to the target, times milliseconds of a
step measured in turn, because another process beside this one slows down whoever runs at that
moment.

Example: python -m benchmarks.target_loss --seeds 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.target_sides import Bench, Evaluation

PLAIN_GRID: tuple[dict[str, Any], ...] = (
    {"learning_rate": 1e-3, "schedule": "cosine", "min_lr_ratio": 0.1},
    {"learning_rate": 2e-3, "schedule": "cosine", "min_lr_ratio": 0.1},
    {"learning_rate": 4e-3, "schedule": "cosine", "min_lr_ratio": 0.1},
    {"learning_rate": 2e-3, "schedule": "linear", "min_lr_ratio": 0.0},
)
OURS: dict[str, Any] = {
    "optimizer": "muon",
    "learning_rate": 2e-2,
    "momentum": 0.9,
    "schedule": "cosine",
    "min_lr_ratio": 0.1,
    "qk_norm": False,
    "writers": "zero",
}
ADAMW = {"optimizer": "adamw", "learning_rate": 4e-3}
LINEAR = {"schedule": "linear", "min_lr_ratio": 0.0}
RANDOM = {"writers": "random"}
VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {},
    "AdamW for Muon": ADAMW,
    "linear to 0 for cosine to a tenth": LINEAR,
    "residual writers random, not 0": RANDOM,
    "momentum 0.95 for 0.9": {"momentum": 0.95},
    "with QK-norm": {"qk_norm": True},
    "Muon alone": RANDOM | {"momentum": 0.95},
    "none of them": ADAMW | RANDOM,
}
# Of the plain side's steps; the shortest that suffices is taken.
HORIZONS = (1 / 6, 1 / 4, 1 / 3, 1 / 2, 3 / 4, 1)


def main() -> None:
    arguments = parser().parse_args()
    grid = PLAIN_GRID
    if arguments.quick:
        vars(arguments).update(model_dim=64, plain_steps=40, seeds=1, windows=16, eval_interval=5)
        grid = grid[1:2]
    bench = Bench(arguments)
    print(bench.description(), flush=True)
    target, plain_seconds = plain_side(bench, grid)
    steps = our_side(bench, target, plain_seconds)
    if not arguments.no_ablation:
        ablation(bench, target, steps)


def parser() -> argparse.ArgumentParser:
    built = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {
        "plain_steps": (600, "optimizer steps of the plain GPT-2"),
        "model_dim": (256, "width of both models, of 4 layers with 4 heads [channels]"),
        "batch_size": (16, "[sequences]"),
        "context_window": (128, "[tokens]"),
        "seeds": (2, "times that the best plain setting and ours are trained, with seeds 1, 2, ..."),
        "windows": (128, "validation windows, spread evenly, that losses are measured on; 0: all"),
        "eval_interval": (10, "steps between evaluations in the last two fifths of ours"),
        "threads": (0, "CPU threads; 0: as torch finds"),
    }
    for name, (default, text) in numbers.items():
        built.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    built.add_argument("--tokenizer", default="bpe:2048", help="(default bpe:2048, the trainer's own)")
    built.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="(default auto)")
    built.add_argument("--cache_dir", type=Path, default=Path("data_snapshots"), help="of corpus and tokens")
    built.add_argument("--no_ablation", action="store_true", help="the two sides alone")
    built.add_argument("--quick", action="store_true", help="does it run? Its numbers mean nothing")
    return built


def plain_side(bench: Bench, grid: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """(final loss, seconds) of the best of the grid, each the mean over seeds. Prints all that was tried."""
    steps = bench.arguments.plain_steps

    def end(values: Mapping[str, Any], seed: int) -> Evaluation:
        training = bench.plain({**values, "max_steps": steps, "seed": seed})
        last = next(bench.evaluations(training, [steps]))
        row("plain GPT-2", words(values), seed, last)
        return last

    print("\n| | setting | seed | steps | loss | seconds |\n|---|---|---|---|---|---|")
    tried = [(end(values, 1), values) for values in grid]
    best, values = min(tried, key=lambda pair: pair[0].loss)
    found = [best, *(end(values, seed) for seed in range(2, bench.arguments.seeds + 1))]
    return statistics.mean(run.loss for run in found), statistics.mean(run.seconds for run in found)


def our_side(bench: Bench, target: float, plain_seconds: float) -> int:
    """Prints seconds to the target for each seed, and their share of the plain side's. Returns our steps."""
    first, steps = shortest(bench, {}, target)
    found = [first]
    row("ours", words(OURS), 1, first)
    for seed in range(2, bench.arguments.seeds + 1):
        found.append(to_target(bench, {"seed": seed}, steps, target))
        row("ours", words(OURS), seed, found[-1])
    shares = [last.seconds / plain_seconds if last.loss <= target else float("inf") for last in found]
    each = ", ".join(f"{share:.2f}" for share in shares)
    print(f"\ntarget {target:.4f} nats per token, ours with {steps} steps; share of the seconds: {each}")
    return steps


def shortest(
    bench: Bench, values: Mapping[str, Any], target: float, above: int = 0
) -> tuple[Evaluation, int]:
    """(where it ended, its steps) of the shortest training of at least `above` steps that reaches the target.

    The learning rate falls with the length, so a longer training is another one, begun anew.
    """
    for share in HORIZONS:
        steps = round(share * bench.arguments.plain_steps)
        if steps >= above:
            found = to_target(bench, values, steps, target)
            if found.loss <= target:
                break
    return found, steps


def to_target(bench: Bench, values: Mapping[str, Any], steps: int, target: float) -> Evaluation:
    """The first evaluation at or below the target, or the last one."""
    at = sorted({*range(round(0.6 * steps), steps, bench.arguments.eval_interval), steps})
    for found in bench.evaluations(bench.ours({**OURS, **values, "max_steps": steps}), at):
        if found.loss <= target:
            break
    return found


def ablation(bench: Bench, target: float, horizon: int) -> None:
    """Prints steps and seconds to the target of ours and of every variant, and their loss after `horizon`."""
    milliseconds = paces(bench)
    print(
        f"\n| variant | loss after {horizon} | steps to target | ms/step | seconds |\n|---|---|---|---|---|"
    )
    for name, changes in VARIANTS.items():
        whole = next(bench.evaluations(bench.ours({**OURS, **changes, "max_steps": horizon}), [horizon]))
        found, _ = shortest(bench, changes, target, above=horizon)
        pace = milliseconds[name]
        steps = f"{found.step}" if found.loss <= target else f"more than {found.step}"
        seconds = found.step * pace / 1e3
        print(f"| {name} | {whole.loss:.4f} | {steps} | {pace:.0f} | {seconds:.0f} |", flush=True)


def paces(bench: Bench, rounds: int = 5, steps: int = 4) -> dict[str, float]:
    """Median milliseconds of a step of each variant, a few steps of one after a few of another."""
    trainings = {name: bench.ours({**OURS, **values, "max_steps": 1000}) for name, values in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(rounds):
        for name, (_, taken) in trainings.items():
            next(taken)
            for _ in range(steps):
                began = time.perf_counter()
                next(taken)
                seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(found) for name, found in seconds.items()}


def row(side: str, setting: str, seed: int, end: Evaluation) -> None:
    print(f"| {side} | {setting} | {seed} | {end.step} | {end.loss:.4f} | {end.seconds:.0f} |", flush=True)


def words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


if __name__ == "__main__":
    main()
