"""What a picture of a sweep shows of one trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One trial of a sweep: its searched settings, its best metric and its metric over the steps."""

    name: str
    settings: dict[str, Any]
    value: float | None
    finished: bool  # False: pruned, failed or still running; drawn faint, dashed or hollow
    curve: Sequence[tuple[float, float]] = field(default=())
    number: int = 0  # place in the order in which the trials were issued, from 1; 0: unknown
    ended: float | None = None  # hours between the sweep's first trial and the end of this one

    @property
    def score(self) -> float:
        """`value` of a point that has one."""
        if self.value is None:
            raise ValueError(f"{self.name} has no metric")
        return self.value
