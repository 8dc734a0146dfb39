"""How the values of one setting, or of a metric, are laid out along an axis."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_FEW = 6  # as many different numbers are written out below an axis
_LONGEST = 16  # characters of a category's name that fit beside an axis
_DECADE = 10.0  # a positive setting whose values span more than this is drawn on a log axis


@dataclass(frozen=True)
class Scale:
    """`kind` is linear, log or category; `categories` are the labels of a category axis, in order."""

    kind: str
    categories: tuple[str, ...] = ()

    def position(self, value: Any) -> float:
        """Where `value` lies on this axis, in the axis' own units (a category's index)."""
        return float(self.categories.index(label(value))) if self.kind == "category" else float(value)

    @property
    def shown(self) -> tuple[str, ...]:
        """The categories as a picture names them: long ones without their middle, but told apart."""
        longest = max((len(name) for name in self.categories), default=0)
        for limit in range(_LONGEST, longest):
            short = tuple(_without_middle(name, limit) for name in self.categories)
            if len(set(short)) == len(short):
                return short
        return self.categories

    def fraction(self, place: float, low: float, high: float) -> float:
        """`place` between `low` (0) and `high` (1), by ratio on a log axis; 0.5 if these are equal."""
        if self.kind == "log":
            place, low, high = math.log(place), math.log(low), math.log(high)
        return 0.5 if high == low else (place - low) / (high - low)

    def ticks(self, low: float, high: float) -> list[tuple[float, str]]:
        """A few (position, label) pairs from `low` to `high`."""
        if self.kind == "category":
            return [(float(i), name) for i, name in enumerate(self.shown)]
        if low == high:
            return [(low, label(low))]
        shares = (0.0, 0.25, 0.5, 0.75, 1.0)
        if self.kind == "log":
            return [(v, label(v)) for v in (low * (high / low) ** share for share in shares)]
        return [(v, label(v)) for v in (low + (high - low) * share for share in shares)]


def _without_middle(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    return f"{name[: (limit - 1) // 2]}…{name[-(limit // 2) :]}"


def scale_of(values: Sequence[Any]) -> Scale:
    """The axis that suits `values`: categories for words, truth values, None, and for a few repeated numbers.

    A log axis needs positive numbers over more than a decade that it spreads more evenly.
    """
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return Scale("category", tuple(sorted({label(value) for value in values})))
    distinct = sorted(set(values))
    if len(distinct) <= _FEW and (len(distinct) < len(values) or all(isinstance(v, int) for v in values)):
        return Scale("category", tuple(dict.fromkeys(label(value) for value in distinct)))
    return Scale("log" if _spans_decades(distinct) else "linear")


def _spans_decades(ordered: Sequence[float]) -> bool:
    low, high, middle = ordered[0], ordered[-1], statistics.median(ordered)
    if low <= 0 or high / low <= _DECADE:
        return False
    by_ratio = (math.log(middle) - math.log(low)) / (math.log(high) - math.log(low))
    by_difference = (middle - low) / (high - low)
    return abs(by_ratio - 0.5) < abs(by_difference - 0.5)


def label(value: Any) -> str:
    """A value as people write it: `3e-04`, `0.15`, `64`, `true`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        small = value != 0 and (abs(value) < 0.01 or abs(value) >= 1e5)
        return f"{value:.1e}".replace(".0e", "e") if small else f"{value:.3g}"
    return str(value)


def readable_limits(values: Sequence[float], reach: float = 3.0) -> tuple[float, float]:
    """Limits in which the usual values fill the axis; a diverged trial's value may lie outside.

    The outer limit is `reach` times the distance from the median to the farther quartile, or the extreme
    value if that is nearer. `values` are finite and not empty.
    """
    low, high, middle = min(values), max(values), statistics.median(values)
    if len(values) >= 4:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        usual = max(third - middle, middle - first) or 0.05 * abs(middle) / reach
        low, high = max(low, middle - reach * usual), min(high, middle + reach * usual)
    pad = 0.06 * (high - low) or 0.05 * (abs(middle) or 1.0)
    return low - pad, high + pad
