"""What a person sees while a model trains: a live bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LINE_SECONDS = 10.0  # between two lines of a log file, at first
_LINE_SHARE = 0.02  # later: this part of the time so far, so that a day fills no screen after screen


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows, told after every step."""

    step: int
    max_steps: int
    loss: float  # of this step
    best_loss: float  # metric of the evaluations so far; infinite before the first
    tokens_per_second: float  # since the last logged row


class TrainingProgress:
    """Shows loss, speed and time left. Call it with each step's `Progress`; close it at the end.

    `say` takes the lines that stand for the bar where there is no terminal.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._began: tuple[float, int] | None = None  # (seconds, step) of the first call, a step's end
        self._last_line = -math.inf
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, now: Progress) -> None:
        if self._began is None:
            self._began = (time.monotonic(), now.step)
            if sys.stdout.isatty():
                self._open_bar(now)
        if self._bar is not None:
            self._bar.update(self._task, completed=now.step, text=describe(now), left=self._left(now))
        elif now.step == now.max_steps or self._line_is_due():
            self._last_line = time.monotonic()
            self._say(f"step {now.step}/{now.max_steps}  {describe(now)}  {self._left(now)}".rstrip())

    def _line_is_due(self) -> bool:
        assert self._began is not None
        now = time.monotonic()
        return now - self._last_line >= max(LINE_SECONDS, _LINE_SHARE * (now - self._began[0]))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _open_bar(self, now: Progress) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(bar_width=24))
        self._bar = Bar(*columns, TextColumn("{task.fields[text]}"), TextColumn("{task.fields[left]}"))
        self._task = self._bar.add_task("", total=now.max_steps, text="", left="")
        self._bar.start()

    def _left(self, now: Progress) -> str:
        """At the pace since the first step ended, which itself compiles and warms up; empty until then."""
        assert self._began is not None
        seconds, first = time.monotonic() - self._began[0], self._began[1]
        if now.step == first:
            return "" if now.step < now.max_steps else "0:00 left"
        remaining = seconds / (now.step - first) * (now.max_steps - now.step)
        hours, minutes = divmod(int(remaining // 60), 60)
        shown = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
        return f"{shown}:{int(remaining % 60):02d} left"


def describe(now: Progress) -> str:
    best = f"  best eval {now.best_loss:.4f}" if math.isfinite(now.best_loss) else ""
    return f"loss {now.loss:.4f}{best}  {now.tokens_per_second:,.0f} tokens/s"


@contextmanager
def training_progress(say: Callable[[str], None]) -> Iterator[TrainingProgress]:
    """A `TrainingProgress` that is closed however the training ends."""
    progress = TrainingProgress(say)
    try:
        yield progress
    finally:
        progress.close()
