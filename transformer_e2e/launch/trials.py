"""What the launcher knows of each trial of a sweep, and the sums it draws from that."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from transformer_e2e.runs.spec import DIVERGED_METRIC
from transformer_e2e.runs.times import clock
from transformer_e2e.runs.tracker_queries import RunView, SweepView

FAILED = ("failed", "crashed")
LIVE = frozenset({"pending", "running", "preempting"})


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial as W&B knows it now. `value` is the best of its metric so far, None without any."""

    run: str  # W&B's own short name of the run
    run_id: str  # ours
    outcome: str  # W&B's state, but pruned, cancelled or diverged where that is what happened
    settings: dict[str, Any] = field(default_factory=dict)
    value: float | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    started: float | None = None  # seconds since the epoch
    ended: float | None = None
    logged: int = 0  # rows of metrics that W&B holds

    @property
    def live(self) -> bool:
        return self.outcome in LIVE

    @property
    def seconds(self) -> float | None:
        return None if self.started is None or self.ended is None else max(0.0, self.ended - self.started)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A sweep in numbers. `total` is None when the search never ends by itself."""

    done: int
    running: int
    pruned: int
    failed: int
    total: int | None
    best: TrialRow | None
    eta_seconds: float | None

    def text(self, metric: str) -> str:
        """One line, the same on a terminal and in a log."""
        of = f"/{self.total}" if self.total is not None else ""
        parts = [f"trials {self.done}{of} done", f"{self.running} running", f"{self.pruned} pruned"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.best is not None:
            parts.append(f"best {metric} {self.best.value:.4g} by {self.best.run_id}")
        if self.eta_seconds is not None:
            parts.append(f"ETA {clock(self.eta_seconds)}")
        return ", ".join(parts)


def rows_of(view: SweepView, metric: str) -> list[TrialRow]:
    """The trials of a sweep, in the order in which they were issued."""
    cancelled = view.state.upper().startswith("CANCEL")
    return [_row(run, metric, cancelled) for run in view.runs]


def progress(rows: Sequence[TrialRow], *, total: int | None, agents: int, goal: str, now: float) -> Progress:
    """Count the trials and guess when the last one ends.

    The guess takes the mean duration of the ended trials for those that run or wait, `agents` at a time.
    It is None before the first trial has ended, or when the search has no end.
    """
    ended = [row for row in rows if not row.live]
    return Progress(
        done=len(ended),
        running=sum(row.outcome in ("running", "preempting") for row in rows),
        pruned=sum(row.outcome == "pruned" for row in rows),
        failed=sum(row.outcome in FAILED for row in rows),
        total=total,
        best=best(rows, goal),
        eta_seconds=_eta(rows, total, agents, now),
    )


def best(rows: Sequence[TrialRow], goal: str) -> TrialRow | None:
    """The trial with the best finite metric, ended or not; the earlier one of equals."""
    scored = [row for row in rows if row.value is not None and math.isfinite(row.value)]
    if not scored:
        return None
    return min(scored, key=lambda row: _cost(row, goal))


def finished_best(rows: Sequence[TrialRow], goal: str) -> TrialRow | None:
    """The best of the trials that ran to their end: only these leave a model behind."""
    return best([row for row in rows if row.outcome == "finished"], goal)


def ranked(rows: Sequence[TrialRow], goal: str) -> list[TrialRow]:
    """Best first; trials without a metric last, in the order in which they were issued."""
    return sorted(rows, key=lambda row: _cost(row, goal))


def _row(run: RunView, metric: str, cancelled: bool) -> TrialRow:
    value = run.best(metric)
    diverged = bool(run.summary.get("diverged")) or (value is not None and abs(value) >= DIVERGED_METRIC)
    outcome = run.state
    if run.state == "killed":
        outcome = "cancelled" if cancelled else "pruned"
    elif run.state == "finished" and diverged:
        outcome = "diverged"
    live = outcome in LIVE
    return TrialRow(
        run=run.name,
        run_id=str(run.config.get("run_id") or run.display_name),
        outcome=outcome,
        settings=run.config,
        value=None if value is not None and abs(value) >= DIVERGED_METRIC else value,
        summary=run.summary,
        started=_seconds(run.created_at),
        ended=None if live else _seconds(run.heartbeat_at),
        logged=run.history_rows,
    )


def setting(settings: Mapping[str, Any], name: str) -> Any:
    """The value of `name`, where dots lead into nested parameters; None if there is none."""
    if name in settings:
        return settings[name]
    first, dot, rest = name.partition(".")
    inner = settings.get(first)
    return setting(inner, rest) if dot and isinstance(inner, Mapping) else None


def _seconds(stamp: str | None) -> float | None:
    """An ISO 8601 time in UTC -> seconds since the epoch."""
    if not stamp:
        return None
    try:
        return datetime.fromisoformat(stamp.removesuffix("Z") + "+00:00" * ("+" not in stamp)).timestamp()
    except ValueError:
        return None


def _cost(row: TrialRow, goal: str) -> float:
    if row.value is None or math.isnan(row.value):
        return math.inf
    return -row.value if goal == "maximize" else row.value


def _eta(rows: Sequence[TrialRow], total: int | None, agents: int, now: float) -> float | None:
    durations = [row.seconds for row in rows if not row.live and row.seconds is not None]
    if total is None or not durations:
        return None
    usual = statistics.fmean(durations)
    running = [max(0.0, usual - (now - row.started)) for row in rows if row.live and row.started is not None]
    waiting = max(0, total - len(rows)) * usual
    return max([(sum(running) + waiting) / max(1, agents), *running])
