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
    finished: bool  # False: pruned, failed or still running; drawn dashed or hollow
    curve: Sequence[tuple[float, float]] = field(default=())

    @property
    def score(self) -> float:
        """`value` of a point that has one."""
        if self.value is None:
            raise ValueError(f"{self.name} has no metric")
        return self.value
