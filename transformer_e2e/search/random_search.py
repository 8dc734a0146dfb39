"""Random search: trial number n depends on the seed and on n, on nothing else."""

from __future__ import annotations

from typing import Any

from transformer_e2e.search.draws import fraction, shuffled
from transformer_e2e.search.space import Space


def random_point(space: Space, *, seed: int, number: int) -> list[Any]:
    """The point of trial `number`, drawn parameter by parameter.

    Where the points can be counted and are equally likely they are dealt like a shuffled pack: none comes
    twice before all have come once. Adding a parameter does not change what is drawn for the others
    otherwise.
    """
    size = space.size
    if size is not None and space.even:
        lap, place = divmod(number, size)
        return space.point(shuffled(place, size, seed, lap))
    return [axis.at(fraction(seed, number, path)) for path, axis in zip(space.paths, space.axes, strict=True)]


def spread_point(space: Space, *, seed: int, number: int) -> list[Any]:
    """Like `random_point`, but spread: the first n points leave no large holes, for any n.

    An additive recurrence with the generalised golden ratio, shifted by the seed (Roberts 2018, "The
    unreasonable effectiveness of quasirandom sequences").
    """
    if space.even:
        return random_point(space, seed=seed, number=number)
    moving = [path for path, axis in zip(space.paths, space.axes, strict=True) if axis.count != 1]
    ratio = _golden_ratio(len(moving))
    turns = {path: ratio ** -(i + 1) for i, path in enumerate(moving)}
    return [
        axis.at((fraction(seed, path) + number * turns.get(path, 0.0)) % 1.0)
        for path, axis in zip(space.paths, space.axes, strict=True)
    ]


def _golden_ratio(dimensions: int) -> float:
    """The root of x^(d + 1) = x + 1 above 1."""
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (dimensions + 1))
    return root
