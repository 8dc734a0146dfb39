"""Arguments of the Hugging Face program for tests: defaults, changed by name."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.hf.arguments import Arguments


def arguments(**changes: Any) -> Arguments:
    """Each change goes to the group that has a field of its name; `seed`, `metric` and `smoothing` to
    the training's.

    The training arguments hold these alone: making real ones takes seconds of imports.
    """
    groups = {}
    training = SimpleNamespace(
        seed=changes.pop("seed", 42),
        metric_for_best_model=changes.pop("metric", None),
        label_smoothing_factor=changes.pop("smoothing", 0.0),
    )
    for group in (ModelArguments, DataArguments, RunArguments):
        names = {item.name for item in fields(group)} & set(changes)
        groups[group] = group(**{name: changes.pop(name) for name in names})
    assert not changes, f"no argument is named {', '.join(changes)}"
    return Arguments(groups[ModelArguments], groups[DataArguments], groups[RunArguments], cast(Any, training))
