"""How a training stands between two steps, besides what the Trainer itself keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from transformer_e2e.runs.outcome import Outcome

NEVER = -1  # no evaluation is complete


@dataclass
class Standing:
    """Changed by the bridge alone; part of every checkpoint."""

    minimize: bool
    best: float | None = None  # best value of the metric so far
    evals_since_best: int = 0
    evaluated_step: int = NEVER  # the last step whose evaluation is complete

    def observe(self, value: float, step: int) -> bool:
        """Note a complete evaluation; say whether it is the best so far. NaN never is."""
        better = self.best is None or (value < self.best if self.minimize else value > self.best)
        improved = better and not math.isnan(value)
        if improved:
            self.best = value
        self.evals_since_best = 0 if improved else self.evals_since_best + 1
        self.evaluated_step = step
        return improved

    def end(self, step: int, max_steps: int, patience: int) -> Outcome | None:
        """How the training ended with this step, or None. `patience` 0: never early."""
        if step >= max_steps:
            return Outcome.FINISHED
        if patience and self.evals_since_best >= patience:
            return Outcome.EARLY_STOPPED
        return None
