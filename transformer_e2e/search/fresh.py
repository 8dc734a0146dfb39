"""A point that was not issued yet, as near as possible to the one wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transformer_e2e.search.draws import shuffled
from transformer_e2e.search.space import Space

_REACH = 32  # neighbours looked at on each side of a value


def free_point(space: Space, wanted: list[Any], issued: Sequence[Mapping[str, Any]], seed: int) -> list[Any]:
    """`wanted`, unless it was issued before: then a free point that differs in one parameter, the nearest
    first.

    If those are taken too, the first free one of a shuffled pack. `wanted` itself where points cannot be
    counted, or all have been issued.
    """
    size = space.size
    if size is None:
        return wanted
    taken = space.issued(issued)
    if space.index(wanted) not in taken or len(taken) >= size:
        return wanted
    near = [point for point in _neighbours(space, wanted) if space.index(point) not in taken]
    if near:
        return min(near, key=lambda point: _distance(space, wanted, point))
    numbers = (shuffled(place, size, seed, "fresh") for place in range(size))
    return space.point(next(number for number in numbers if number not in taken))


def _neighbours(space: Space, values: list[Any]) -> Iterator[list[Any]]:
    for i, axis in enumerate(space.axes):
        here = axis.rank(values[i])
        if here is None or axis.count is None:
            continue
        for rank in range(max(0, here - _REACH), min(axis.count, here + _REACH + 1)):
            if rank != here:
                yield [*values[:i], axis.ranked(rank), *values[i + 1 :]]


def _distance(space: Space, one: list[Any], other: list[Any]) -> float:
    """How far two points lie apart: quantiles of each parameter added up, different categories 1 apart."""
    total = 0.0
    for axis, a, b in zip(space.axes, one, other, strict=True):
        if axis.index(a) == axis.index(b):
            continue
        place, there = axis.place(a), axis.place(b)
        total += abs(place - there) if axis.ordered and place is not None and there is not None else 1.0
    return total
