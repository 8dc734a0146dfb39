"""The tasks by name. A task is a module with the functions of `Task`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Prepared

Say = Callable[[str], None]
Row = Mapping[str, Any]  # one example as it stands in the data set


class Task(Protocol):
    METRIC: str  # the metric that decides which checkpoint is best, e.g. "eval/loss"
    GOAL: str  # "minimize" or "maximize"
    METRICS: tuple[str, ...]  # all that an evaluation may give, without eval/

    def open_task(self, arguments: Arguments, say: Say) -> Callable[[], Prepared]:
        """Load the raw data, infer what was not said, and check all inputs; raises UserErrors, all at once.

        The returned function does the long rest: tokenise, make the model. It is called after seeding.
        """
        ...

    def predict(self, pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
        """One JSON object a row, in their order: label and confidences, an answer, filled masks, a text."""
        ...

    def score(
        self, pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int, say: Say
    ) -> dict[str, float]:
        """Metrics over rows with their truth, by the names of training without `eval/`."""
        ...


def task(name: str) -> Task:
    """The module of a task. Heavy: it may import torch and transformers."""
    return cast(Task, importlib.import_module(f"transformer_e2e.tasks.{name}"))
