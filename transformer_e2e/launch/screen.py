"""How a running sweep is shown: a live panel on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

from transformer_e2e.launch.trials import Progress, TrialRow, ranked
from transformer_e2e.runs.times import clock

LINE_SECONDS = 10.0  # between two plain lines, unless a trial has ended
_SHOWN_TRIALS = 12
MARKS = {
    "finished": "green",
    "running": "cyan",
    "preempting": "cyan",
    "pending": "dim",
    "pruned": "yellow",
    "diverged": "yellow",
    "failed": "red",
    "crashed": "red",
}


class Screen(Protocol):
    """Where the launcher says what happens. Entered for the time of the sweep."""

    def __enter__(self) -> Screen: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def say(self, text: str) -> None:
        """An event: shown once, kept."""
        ...

    def show(self, progress: Progress, rows: Sequence[TrialRow]) -> None:
        """How the sweep stands now."""
        ...


def _print(text: str) -> None:
    print(text, flush=True)


def screen_for(metric: str, goal: str, say: Callable[[str], None] = _print) -> Screen:
    """The live panel if stdout is a terminal, else plain lines; `say` takes what is kept."""
    return LivePanel(metric, goal, say) if sys.stdout.isatty() else PlainLines(metric, say)


class PlainLines:
    """One line when a trial has ended, otherwise at most one in `LINE_SECONDS`, and only what changed."""

    def __init__(self, metric: str, say: Callable[[str], None] = _print) -> None:
        self._metric = metric
        self.say = say
        self._done = -1
        self._last = ""
        self._spoken = 0.0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, progress: Progress, rows: Sequence[TrialRow]) -> None:
        text, now = progress.text(self._metric), time.monotonic()
        due = now - self._spoken >= LINE_SECONDS and text != self._last
        if due or progress.done != self._done:
            self._last, self._done, self._spoken = text, progress.done, now
            self.say(text)


class LivePanel:
    """A progress bar over the best and the running trials, redrawn in place."""

    def __init__(self, metric: str, goal: str, say: Callable[[str], None] = _print) -> None:
        from rich.live import Live

        self._metric, self._goal = metric, goal
        self.say = say  # rich has taken standard output over, and prints above the panel
        self._began = time.monotonic()
        self._live = Live(refresh_per_second=4, transient=True)

    def __enter__(self) -> LivePanel:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, progress: Progress, rows: Sequence[TrialRow]) -> None:
        from rich.console import Group

        self._live.update(Group(self._bar(progress), self._table(rows), self._footer(progress)))

    def _bar(self, progress: Progress) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 1))
        of = "" if progress.total is None else f"/{progress.total}"
        bar = ProgressBar(
            total=progress.total, completed=progress.done, width=36, pulse=progress.total is None
        )
        eta = "" if progress.eta_seconds is None else f"ETA {clock(progress.eta_seconds)}"
        line.add_row("trials", bar, f"{progress.done}{of}", clock(time.monotonic() - self._began), eta)
        return line

    def _table(self, rows: Sequence[TrialRow]) -> Any:
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("trial", "state", self._metric):
            table.add_column(title)
        for row in ranked(rows, self._goal)[:_SHOWN_TRIALS]:
            style = MARKS.get(row.outcome, "")
            value = "" if row.value is None else f"{row.value:.4g}"
            table.add_row(row.run_id, f"[{style}]{row.outcome}[/]" if style else row.outcome, value)
        return table

    def _footer(self, progress: Progress) -> Any:
        from rich.text import Text

        counts = f"{progress.running} running, {progress.pruned} pruned, {progress.failed} failed"
        return Text(f"{counts}   Ctrl-C: stop after a checkpoint", style="dim")
