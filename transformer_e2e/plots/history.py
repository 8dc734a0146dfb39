"""What a picture of a trial is made of: its logged rows, its attempts, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]
Point = tuple[float, float]  # (step, value)


@dataclass(frozen=True)
class Stretch:
    """The steps that one attempt added: from `first` (exclusive) to `last`."""

    number: int
    first: float
    last: float
    ending: str  # as its ledger says, "killed" if it says nothing, "" for the last attempt


@dataclass(frozen=True, kw_only=True)
class TrialHistory:
    """One trial. `rows` are those of metrics.jsonl, `attempts` the lines of attempts.jsonl, oldest first."""

    run_id: str
    rows: Sequence[Row]
    attempts: Sequence[Row] = ()
    outcome: str = ""  # finished, early_stopped, pruned, diverged, terminated, ...; empty: unknown
    metric: str = "eval/loss"
    goal: str = "minimize"
    unit: str = "nats/token"  # of a loss; empty: it is not that of tokens
    yardsticks: Mapping[str, float] = field(default_factory=dict)  # bits per byte by name, e.g. gzip

    def series(self, name: str) -> list[Point]:
        """(step, value) of the rows that hold a finite `name`."""
        found = []
        for row in self.rows:
            value = row["metrics"].get(name)
            if isinstance(value, int | float) and math.isfinite(value):
                found.append((float(row["step"]), float(value)))
        return found

    def best(self) -> Point | None:
        """The best evaluation, the earlier one of equals; None without any."""
        sign = -1 if self.goal == "maximize" else 1
        return min(self.series(self.metric), key=lambda point: sign * point[1], default=None)

    @property
    def loss_name(self) -> str:
        return f"loss [{self.unit}]" if self.unit else "loss"

    @property
    def last_step(self) -> float:
        return max((float(row["step"]) for row in self.rows), default=0.0)

    def stretches(self) -> list[Stretch]:
        """What each attempt added, told apart by the times of rows and starts; a resumed attempt repeats
        steps, but each row is in the journal once."""
        starts = [(_seconds(line), line) for line in self.attempts if line.get("event") == "start"]
        endings = {
            line.get("attempt"): str(line.get("outcome", "")).replace("_", "-")
            for line in self.attempts
            if line.get("event") == "end"
        }
        found: list[Stretch] = []
        for place, (_, line) in enumerate(starts):
            until = starts[place + 1][0] if place + 1 < len(starts) else math.inf
            first = found[-1].last if found else 0.0
            own = [float(row["step"]) for row in self.rows if float(row.get("time", 0.0)) < until]
            number = int(line.get("attempt", place + 1))
            ending = endings.get(number, "killed") if place + 1 < len(starts) else ""
            found.append(Stretch(number, first, max([first, *own]), ending))
        return found

    def seconds(self) -> float:
        """Wall time of all attempts; of a killed one up to its last row."""
        starts = [_seconds(line) for line in self.attempts if line.get("event") == "start"]
        moments = [float(row.get("time", 0.0)) for row in self.rows]
        moments += [_seconds(line) for line in self.attempts if line.get("event") == "end"]
        total = 0.0
        for start, until in zip(starts, [*starts[1:], math.inf], strict=False):
            total += max([moment - start for moment in moments if start <= moment <= until], default=0.0)
        return total


def _seconds(line: Row) -> float:
    """When a line of the ledger was written, in seconds since 1970; 0 if it does not say."""
    try:
        return datetime.fromisoformat(str(line.get("time"))).timestamp()
    except ValueError:
        return 0.0
