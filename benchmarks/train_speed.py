"""How quick a training step is here, in fp32 and in bf16, beside what the processor can do.

Example: python -m benchmarks.train_speed --num_layers 4 --model_dim 256 --vocab_size 8192
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict


def main() -> None:
    arguments = parser().parse_args()
    import torch

    from transformer_e2e.trainer.device import prepare_process

    threads = prepare_process(arguments.threads)
    print(f"{threads} threads, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        gigaflops = product_speed(dtype)
        milliseconds, tokens, parameters = step_speed(arguments, precision)
        share = 6 * parameters * tokens / (milliseconds * 1e6) / gigaflops
        print(
            f"{precision}  products {gigaflops:7,.0f} GFLOP/s   step {milliseconds:7.1f} ms   "
            f"{tokens / milliseconds * 1e3:9,.0f} tokens/s   {share:4.0%} of the products' speed"
        )


def parser() -> argparse.ArgumentParser:
    built = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {
        "num_layers": (4, "blocks"),
        "num_heads": (4, "heads in each block"),
        "model_dim": (256, "width [channels]"),
        "context_window": (128, "[tokens]"),
        "vocab_size": (8192, "[token ids]"),
        "batch_size": (16, "[sequences]"),
        "gradient_accumulation": (1, "micro-batches in a step"),
        "steps": (20, "steps timed, after 3 that are not"),
        "threads": (0, "CPU threads; 0: as torch finds"),
    }
    for name, (default, text) in sizes.items():
        built.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    built.add_argument("--dropout", type=float, default=0.0, help="drop probability (default 0)")
    built.add_argument("--profile", action="store_true", help="also print where the time of 3 steps goes")
    return built


def product_speed(dtype: object, size: int = 1024) -> float:
    """GFLOP/s of a square matrix product, the best of 10."""
    import torch

    a, b = torch.randn(2, size, size).to(dtype)  # type: ignore[call-overload]
    return 2 * size**3 / min(timed(lambda: a @ b, 10)) / 1e9


def step_speed(arguments: argparse.Namespace, precision: str) -> tuple[float, int, int]:
    """(median milliseconds of a step, its tokens, the model's parameters)."""
    import numpy as np
    import torch

    from transformer_e2e.config.settings import ModelSettings, TrainSettings
    from transformer_e2e.model.shape import ModelShape
    from transformer_e2e.trainer.state import new_state
    from transformer_e2e.trainer.step import take_step

    values = vars(arguments)
    sizes = {name: values[name] for name in asdict(ModelSettings()) if name in values}
    settings = TrainSettings(
        batch_size=arguments.batch_size,
        gradient_accumulation=arguments.gradient_accumulation,
        max_steps=100_000,
        precision=precision,
    )
    shape = ModelShape.of(ModelSettings(**sizes), arguments.vocab_size, arguments.context_window)
    state = new_state(shape, settings, torch.device("cpu"))
    size = (arguments.batch_size, arguments.context_window + 1)

    def step() -> None:
        take_step(
            state,
            lambda index: np.random.default_rng(index).integers(0, shape.vocab_size, size),
            settings,
            lambda: False,
        )

    timed(step, 3)
    milliseconds = 1e3 * statistics.median(timed(step, arguments.steps))
    if arguments.profile:
        print_profile(step)
    return milliseconds, state.tokens_seen // state.step, state.model.parameter_count()


def print_profile(step: Callable[[], None]) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(3):
            step()
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


def timed(work: Callable[[], object], count: int) -> list[float]:
    """Seconds of each of `count` calls."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
