"""A calm line through noisy points."""

from __future__ import annotations

from collections.abc import Sequence

_FEWEST = 24  # below that, the points themselves are a line that can be read
_SHARE = 40  # the mean is taken over this part of all points


def smoothed(values: Sequence[float]) -> tuple[list[float], int]:
    """The mean over a window around each value, and the window's length; 1: the values as they are.

    At the beginning the window is cut symmetrically, so a curve that falls steeply there is not bent; at
    the end it only loses the values that are still to come.
    """
    import numpy as np

    if len(values) < _FEWEST:
        return list(values), 1
    half = max(2, len(values) // _SHARE // 2)
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=float))])
    places = np.arange(len(values))
    before = np.minimum(half, places)
    after = np.minimum(before, len(values) - 1 - places)
    means = (sums[places + after + 1] - sums[places - before]) / (before + after + 1)
    return means.tolist(), 2 * half + 1
