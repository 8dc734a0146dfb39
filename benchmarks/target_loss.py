"""Seconds to the validation loss at which a plain GPT-2 with AdamW ends, on the interpreter's documentation.

The plain side is transformers' GPT2LMHeadModel in a plain loop (`plain_gpt2`); learning rate and schedule are
those of a small grid with the lowest final loss. Ours is this repository's decoder and trainer. Both see the
same batches in the same order, multiply in the same precision with the same threads, and are scored on the
same validation windows; evaluation is in no time. Then each element of our recipe is taken away, and added
alone: steps to the target, times milliseconds of a step measured in turn, because another process beside
this one slows down whoever runs at that moment.

Example: python -m benchmarks.target_loss --seeds 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

SIZES = {"num_layers": 4, "num_heads": 4, "model_dim": 256}
PLAIN_GRID: tuple[dict[str, Any], ...] = (
    {"learning_rate": 1e-3, "schedule": "cosine", "min_lr_ratio": 0.1},
    {"learning_rate": 2e-3, "schedule": "cosine", "min_lr_ratio": 0.1},
    {"learning_rate": 4e-3, "schedule": "cosine", "min_lr_ratio": 0.1},
    {"learning_rate": 2e-3, "schedule": "linear", "min_lr_ratio": 0.0},
)
ADAMW = {"optimizer": "adamw", "learning_rate": 4e-3}
COSINE = {"schedule": "cosine", "min_lr_ratio": 0.1}
OURS: dict[str, Any] = {
    "optimizer": "muon",
    "learning_rate": 1e-2,
    "schedule": "linear",
    "min_lr_ratio": 0.0,
    "qk_norm": False,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "without Muon: AdamW": ADAMW,
    "without linear to 0: cosine to a tenth": COSINE,
    "with QK-norm": {"qk_norm": True},
    "neither": ADAMW | COSINE,
}
LONGER = (1.0, 1.5, 2.25)  # of --steps: what a variant gets to reach the target in, tried in this order

Steps = Iterator[object]  # takes one step each time it is asked


@dataclass(frozen=True)
class Evaluation:
    step: int
    loss: float  # [nats/token]
    seconds: float  # of training so far


def main() -> None:
    arguments = parser().parse_args()
    grid = PLAIN_GRID
    if arguments.quick:
        vars(arguments).update(plain_steps=40, steps=30, seeds=1, windows=16, no_ablation=True)
        grid = grid[1:2]
    bench = Bench(arguments)
    print(bench.description(), flush=True)
    target, plain_seconds = plain_side(bench, grid, arguments.plain_steps)
    our_side(bench, target, plain_seconds)
    if not arguments.no_ablation:
        ablation(bench, target)


def parser() -> argparse.ArgumentParser:
    built = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {
        "plain_steps": (600, "optimizer steps of the plain GPT-2"),
        "steps": (250, "optimizer steps after which our learning rate has fallen to its end"),
        "batch_size": (16, "[sequences]"),
        "context_window": (128, "[tokens]"),
        "seeds": (2, "times that the best plain setting and ours are trained, with seeds 1, 2, ..."),
        "windows": (128, "validation windows, spread evenly, that losses are measured on; 0: all"),
        "eval_interval": (10, "steps between evaluations in the last 40 % of ours"),
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


class Bench:
    """The data, the way to score, and both ways to train on it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        import torch

        from transformer_e2e.config.settings import DataSettings
        from transformer_e2e.data.batches import validation_windows
        from transformer_e2e.data.tokens import prepare
        from transformer_e2e.trainer.device import multiplies_bf16, prepare_process
        from transformer_e2e.trainer.evaluation import Evaluator

        self.threads = prepare_process(arguments.threads)
        self.arguments, self.device = arguments, torch.device("cpu")
        wanted = DataSettings(tokenizer=arguments.tokenizer, context_window=arguments.context_window)
        self.data = prepare(wanted, arguments.cache_dir)
        self.vocab_size = self.data.tokenizer.vocab_size
        quicker = "bf16" if multiplies_bf16(self.device) else "fp32"
        self.precision = quicker if arguments.precision == "auto" else arguments.precision
        self.evaluator = Evaluator(
            windows_NT1=validation_windows(self.data.validation, arguments.context_window),
            text_bytes=self.data.validation_bytes,
            text_words=self.data.validation_words,
            window_limit=arguments.windows,
            precision=self.precision,
        )

    def description(self) -> str:
        import torch

        sizes = ", ".join(f"{name} {value}" for name, value in SIZES.items())
        tokens = self.arguments.batch_size * self.arguments.context_window
        return (
            f"{sizes}, vocabulary {self.vocab_size}; {tokens:,} tokens a step of {len(self.data.train):,}; "
            f"{self.precision}, {self.threads} threads, torch {torch.__version__}"
        )

    def plain(self, values: Mapping[str, Any]) -> tuple[Any, Steps]:
        """(model, its steps) of the plain GPT-2."""
        import torch

        from benchmarks.plain_gpt2 import PlainGPT2, training_steps

        model_settings, settings = self.settings(values)
        torch.manual_seed(settings.seed)
        model = PlainGPT2(model_settings, self.vocab_size, self.arguments.context_window)
        return model, training_steps(model, self.batches(settings.seed), settings, self.device)

    def ours(self, values: Mapping[str, Any]) -> tuple[Any, Steps]:
        """(model, its steps) of this repository's trainer."""
        from transformer_e2e.model.shape import ModelShape
        from transformer_e2e.trainer.state import new_state
        from transformer_e2e.trainer.step import take_step

        model_settings, settings = self.settings(OURS | dict(values))
        shape = ModelShape.of(model_settings, self.vocab_size, self.arguments.context_window)
        state, batches = new_state(shape, settings, self.device), self.batches(settings.seed)
        steps = (take_step(state, batches, settings, lambda: False) for _ in range(settings.max_steps))
        return state.model, steps

    def settings(self, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """(ModelSettings, TrainSettings): `values` over the benchmark's sizes; warm-up is a tenth."""
        from transformer_e2e.config.settings import ModelSettings, TrainSettings

        fixed = {"batch_size": self.arguments.batch_size, "precision": self.precision}
        known = SIZES | fixed | {"warmup_steps": values["max_steps"] // 10} | dict(values)
        model, train = (
            group(**{item.name: known[item.name] for item in fields(group) if item.name in known})
            for group in (ModelSettings, TrainSettings)
        )
        return model, train

    def batches(self, seed: int) -> Callable[[int], Any]:
        from transformer_e2e.data.batches import batch_at

        size, window = self.arguments.batch_size, self.arguments.context_window
        return lambda step: batch_at(
            self.data.train, seed=seed, step=step, batch_size=size, context_window=window
        )

    def evaluations(self, training: tuple[Any, Steps], at: Iterable[int]) -> Iterator[Evaluation]:
        """The evaluations after the steps `at`, training on from one to the next as they are asked for."""
        model, steps = training
        seconds, done = 0.0, 0
        for step in at:
            began = time.perf_counter()
            for _ in range(step - done):
                next(steps)
            seconds, done = seconds + time.perf_counter() - began, step
            yield Evaluation(step, self.evaluator(model, False)["eval/loss"], seconds)  # type: ignore[index]


def plain_side(bench: Bench, grid: Iterable[dict[str, Any]], steps: int) -> tuple[float, float]:
    """(final loss, seconds) of the best of the grid, each the mean over seeds. Prints all that was tried."""

    def end(values: Mapping[str, Any], seed: int) -> Evaluation:
        training = bench.plain({**values, "max_steps": steps, "seed": seed})
        last = next(bench.evaluations(training, [steps]))
        print(
            f"| plain GPT-2 | {words(values)} | {seed} | {steps} | {last.loss:.4f} | {last.seconds:.0f} |",
            flush=True,
        )
        return last

    print("\n| | setting | seed | steps | loss | seconds |\n|---|---|---|---|---|---|")
    first = {words(values): (end(values, 1), values) for values in grid}
    best, values = min(first.values(), key=lambda found: found[0].loss)
    found = [best, *(end(values, seed) for seed in range(2, bench.arguments.seeds + 1))]
    return statistics.mean(run.loss for run in found), statistics.mean(run.seconds for run in found)


def our_side(bench: Bench, target: float, plain_seconds: float) -> None:
    """Prints seconds to the target for each seed, and the share of the plain side's."""
    shares = []
    for seed in range(1, bench.arguments.seeds + 1):
        last = to_target(bench, {"seed": seed}, bench.arguments.steps, target)
        print(
            f"| ours | {words(OURS)} | {seed} | {last.step} | {last.loss:.4f} | {last.seconds:.0f} |",
            flush=True,
        )
        shares.append(last.seconds / plain_seconds if last.loss <= target else float("nan"))
    each = ", ".join(f"{share:.2f}" for share in shares)
    share = statistics.mean(shares)
    print(f"\ntarget {target:.4f} nats per token; ours takes {share:.2f} of the seconds ({each})")


def to_target(bench: Bench, values: Mapping[str, Any], steps: int, target: float) -> Evaluation:
    """The first evaluation at or below the target, or the last one."""
    every = bench.arguments.eval_interval
    at = sorted({*range(round(0.6 * steps), steps, every), steps})
    for found in bench.evaluations(bench.ours({**values, "max_steps": steps}), at):
        if found.loss <= target:
            break
    return found


def ablation(bench: Bench, target: float) -> None:
    """Prints steps and seconds to the target of ours and of every variant."""
    milliseconds = paces(bench)
    print("\n| variant | steps to target | ms/step | seconds |\n|---|---|---|---|")
    for name, changes in {"ours": {}, **VARIANTS}.items():
        for factor in LONGER:
            found = to_target(bench, changes, round(factor * bench.arguments.steps), target)
            if found.loss <= target:
                break
        pace = milliseconds[name]
        shown = f"{found.step}" if found.loss <= target else f"> {found.step} ({found.loss:.4f})"
        print(f"| {name} | {shown} | {pace:.0f} | {found.step * pace / 1e3:.0f} |", flush=True)


def paces(bench: Bench, rounds: int = 5, steps: int = 4) -> dict[str, float]:
    """Median milliseconds of a step of each variant, a few steps of one after a few of another."""
    trainings = {
        name: bench.ours({**values, "max_steps": 1000}) for name, values in {"ours": {}, **VARIANTS}.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(rounds):
        for name, (_, taken) in trainings.items():
            next(taken)
            for _ in range(steps):
                began = time.perf_counter()
                next(taken)
                seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(found) for name, found in seconds.items()}


def words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


if __name__ == "__main__":
    main()
