"""The names under which a trial logs what Hugging Face's Trainer measures."""

from __future__ import annotations

from collections.abc import Mapping

EVALUATION = "eval_"  # how the Trainer begins the names of an evaluation
# What depends on the machine and the moment, not on the arithmetic; replayed rows may differ in it.
_SPEEDS = ("runtime", "samples_per_second", "steps_per_second", "tokens_per_second", "model_preparation_time")


def row_of(logs: Mapping[str, float], epoch: float) -> dict[str, float]:
    """`loss` -> `train/loss`, `eval_f1` -> `eval/f1`, `eval_runtime` -> `perf/eval_runtime`."""
    return {_name(name): value for name, value in logs.items()} | {"train/epoch": epoch}


def _name(name: str) -> str:
    if name.endswith(_SPEEDS):
        return f"perf/{name}"
    if name.startswith(EVALUATION):
        return f"eval/{name.removeprefix(EVALUATION)}"
    return f"train/{name}"
