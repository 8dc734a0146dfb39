"""When a training logs, evaluates and saves: a function of the step alone, so that a resume decides alike.

The Trainer's own flow does what is due at an epoch's end after the step's checkpoint, where a kill between
the two loses it. Here an epoch's end is a step like any other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import TrainingArguments


class Timetable:
    def __init__(
        self, args: TrainingArguments, *, max_steps: int, steps_per_epoch: int, at_start: bool
    ) -> None:
        """`at_start`: an evaluation comes before the first step."""
        self._args, self._max_steps, self._steps_per_epoch = args, max_steps, steps_per_epoch
        self._at_start = at_start

    def logs(self, step: int) -> bool:
        """As `logging_strategy` says; the last step is logged, too, unless nothing is."""
        strategy = self._args.logging_strategy
        first = step == 1 and self._args.logging_first_step
        last = step == self._max_steps and strategy != "no"
        return first or last or self._due(strategy, self._args.logging_steps, step)

    def evaluates(self, step: int) -> bool:
        """As `eval_strategy` and `eval_delay` say, before the first step if asked for, and after the last."""
        if step == self._max_steps or (step == 0 and self._at_start):
            return True
        strategy = self._args.eval_strategy
        position = step / self._steps_per_epoch if strategy == "epoch" else step
        return position >= self._args.eval_delay and self._due(strategy, self._args.eval_steps, step)

    def saves(self, step: int) -> bool:
        """As `save_strategy` says; the best and the last state are saved besides."""
        return self._due(self._args.save_strategy, self._args.save_steps, step)

    def _due(self, strategy: str, interval: float | None, step: int) -> bool:
        """An interval below 1 is a share of all steps."""
        if step == 0:
            return False
        if strategy == "epoch":
            return step % self._steps_per_epoch == 0
        if strategy != "steps" or not interval:
            return False
        steps = math.ceil(interval * self._max_steps) if interval < 1 else int(interval)
        return step % steps == 0
