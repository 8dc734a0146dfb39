"""Grid search: every point of the product once, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from transformer_e2e.search.space import Space


def grid_point(space: Space, issued: Iterable[Mapping[str, Any]]) -> list[Any] | None:
    """The first point not yet issued, the last parameter (by name) changing fastest; None when all were.

    Points are numbered, not listed, so a grid of any size costs only the trials issued so far.
    """
    taken = space.issued(list(issued))
    first = next(number for number in count() if number not in taken)
    return space.point(first) if space.size is not None and first < space.size else None
