"""The search space of a spec: its axes by path, and its points as nested dictionaries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformer_e2e.search.axis import Axis, axis_of
from transformer_e2e.search.distributions import Path, leaves

_MISSING = object()


@dataclass(frozen=True)
class Space:
    """Axes in the order of their paths, so that neither search nor grid depends on the order keys were sent
    in.
    """

    paths: tuple[Path, ...]
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int | None:
        """The number of points; None if they cannot be counted."""
        counts = [axis.count for axis in self.axes]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    @property
    def even(self) -> bool:
        """Whether the points can be counted and are equally likely."""
        return all(axis.even and axis.count is not None for axis in self.axes)

    def params(self, values: Sequence[Any]) -> dict[str, Any]:
        """One value per axis as the nested dictionary that a trial is given."""
        nested: dict[str, Any] = {}
        for path, value in zip(self.paths, values, strict=True):
            group = nested
            for name in path[:-1]:
                group = group.setdefault(name, {})
            group[path[-1]] = value
        return nested

    def values(self, params: Mapping[str, Any]) -> list[Any] | None:
        """One value per axis out of a trial's parameters; None if a parameter is missing."""
        found = [_lookup(params, path) for path in self.paths]
        return None if any(value is _MISSING for value in found) else found

    def point(self, index: int) -> list[Any]:
        """Point number `index` of `size`: one value per axis, the last axis changing fastest."""
        values: list[Any] = []
        for axis in reversed(self.axes):
            index, digit = divmod(index, axis.count or 1)
            values.append(axis.point(digit))
        return values[::-1]

    def index(self, values: Sequence[Any]) -> int | None:
        """The number of a point, or None if it is no point of this space."""
        number = 0
        for axis, value in zip(self.axes, values, strict=True):
            digit = axis.index(value)
            if digit is None:
                return None
            number = number * (axis.count or 1) + digit
        return number

    def issued(self, trials: Sequence[Mapping[str, Any]]) -> set[int]:
        """The numbers of the points among earlier trials' parameters; foreign points are left out."""
        points = (self.values(params) for params in trials)
        numbers = (self.index(values) for values in points if values is not None)
        return {number for number in numbers if number is not None}


def space_of(config: Mapping[str, Any]) -> Space:
    """The space of a normalised spec without problems."""
    found = sorted(leaves(config["parameters"]), key=lambda leaf: leaf[0])
    return Space(tuple(path for path, _ in found), tuple(axis_of(parameter) for _, parameter in found))


def _lookup(params: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(params, Mapping) or name not in params:
            return _MISSING
        params = params[name]
    return params
