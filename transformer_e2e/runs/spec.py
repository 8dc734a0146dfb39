"""What the life of one trial needs to know, and what the training hands back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformer_e2e.runs.outcome import Outcome

DIVERGED_METRIC = 1e9  # finite, so that charts, JSON and searches can take it; worse than any loss or score


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One trial: who it is, where it lives, and what is done with its result."""

    run_id: str
    counted: Mapping[str, Any]  # settings that decide the result; compared with config.json
    settings: Mapping[str, Any]  # every setting, for W&B's config
    root: Path  # folder of trials and completion records
    project: str
    entity: str | None = None  # None: the API key's own
    upload: bool = True
    upload_pruned: bool = False
    keep_local: bool = False
    force: bool = False
    no_wait: bool = False
    keep_checkpoints: int = 2
    disk_budget: int = 0  # most bytes that all of `root` may hold; 0: no limit
    metric_name: str = "eval/loss"
    goal: Literal["minimize", "maximize"] = "minimize"
    # Files of a checkpoint that make the uploaded model; shell patterns, each must match.
    artifact_files: tuple[str, ...] = ("*",)
    rerun_command: str = ""  # what to type to train again although it is done; shown when skipping

    @property
    def directory(self) -> Path:
        return self.root / self.run_id

    @property
    def worst_metric(self) -> float:
        return DIVERGED_METRIC if self.goal == "minimize" else -DIVERGED_METRIC

    def improves(self, value: float, best: float | None) -> bool:
        """Whether `value` is better than the best so far (None: nothing yet). NaN never is."""
        if math.isnan(value):
            return False
        return best is None or (value < best if self.goal == "minimize" else value > best)


@dataclass(frozen=True)
class Result:
    """What the training hands back."""

    outcome: Outcome
    metrics: Mapping[str, float] = field(default_factory=dict)  # final ones; become W&B's summary
    best_metric: float | None = None  # None: never evaluated
    steps: int | None = None  # optimizer steps taken in all; None: unknown
    device: str | None = None  # where it ran, for the ledger of attempts
    # What the model needs to know of its examples, as JSON values; kept in the record. None: nothing.
    schema: Mapping[str, Any] | None = None
    # Where the metrics come from: `name` and `split` of the data, `examples`; empty: unknown.
    measured_on: Mapping[str, str | int] = field(default_factory=dict)
