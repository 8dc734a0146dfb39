"""What a person sees while a model trains: a live bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformer_e2e.trainer.loop import Progress

LINE_SECONDS = 10.0  # between two lines of a log file


class TrainingProgress:
    """Shows loss, speed and time left. Call it with each step's `Progress`; close it at the end."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None  # (seconds, step) of the first call
        self._last_line = -math.inf
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, now: Progress) -> None:
        if self._began is None:
            self._began = (time.monotonic(), now.step - 1)
            if sys.stdout.isatty():
                self._open_bar(now)
        if self._bar is not None:
            self._bar.update(self._task, completed=now.step, text=describe(now), left=self._left(now))
        elif time.monotonic() - self._last_line >= LINE_SECONDS or now.step == now.max_steps:
            self._last_line = time.monotonic()
            print(f"step {now.step}/{now.max_steps}  {describe(now)}  {self._left(now)}", flush=True)

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
        assert self._began is not None
        seconds, first = time.monotonic() - self._began[0], self._began[1]
        remaining = seconds / (now.step - first) * (now.max_steps - now.step)
        return f"{int(remaining // 60)}:{int(remaining % 60):02d} left"


def describe(now: Progress) -> str:
    best = f"  best eval {now.best_loss:.4f}" if math.isfinite(now.best_loss) else ""
    return f"loss {now.loss:.4f}{best}  {now.tokens_per_second:,.0f} tokens/s"


@contextmanager
def training_progress() -> Iterator[TrainingProgress]:
    """A `TrainingProgress` that is closed however the training ends."""
    progress = TrainingProgress()
    try:
        yield progress
    finally:
        progress.close()
