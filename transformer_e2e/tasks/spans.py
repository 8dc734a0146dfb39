"""The best answer span among the scores that a model gives to every token of every window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Span:
    """`score` is the probability of this pair of start and end among all pairs of all windows of its text."""

    window: int
    first: int  # token of the window
    last: int  # inclusive
    score: float
    null: bool = False  # the model rather says that there is no answer


def best_in_windows(
    start: Floats, end: Floats, allowed: NDArray[np.bool_], longest: int
) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """(score, first, last) of the best span of each window; all inputs are (windows, tokens).

    The best has the greatest sum of start and end score over allowed first <= last of at most `longest`
    tokens; of equal ones the shortest, then the leftmost. Every span is looked at, not those of the 20 best
    starts and ends alone. -inf where nothing is allowed.
    Source of the rule: Devlin et al. 2019, section 4.2.
    """
    starts = np.where(allowed, start, -np.inf)
    ends = np.where(allowed, end, -np.inf)
    windows, tokens = starts.shape
    rows = np.arange(windows)
    best = np.full(windows, -np.inf, dtype=starts.dtype)
    first = np.zeros(windows, dtype=np.intp)
    last = np.zeros(windows, dtype=np.intp)
    for more in range(min(longest, tokens)):
        sums = starts[:, : tokens - more] + ends[:, more:]
        place = sums.argmax(axis=1)
        score = sums[rows, place]
        better = score > best
        best[better], first[better], last[better] = score[better], place[better], place[better] + more
    return best, first, last


def best_spans(
    start: Floats,
    end: Floats,
    allowed: NDArray[np.bool_],
    owners: Sequence[int],
    *,
    longest: int,
    may_be_null: bool = False,
) -> list[Span]:
    """The best span of each text, in the order of their numbers 0, 1, ...; `owners` has that of each window.

    Token 0 of a window stands for "no answer here". `may_be_null`: texts may have no answer, and have none
    where the least of these scores is above that of the best span (Devlin et al. 2019, section 4.3).
    """
    best, first, last = best_in_windows(start, end, allowed, longest)
    none = start[:, 0] + end[:, 0]
    mass = _log_mass(start, allowed) + _log_mass(end, allowed)
    windows: dict[int, list[int]] = {}
    for window, owner in enumerate(owners):
        windows.setdefault(owner, []).append(window)
    spans = []
    for owner in range(len(windows)):
        own = np.array(windows[owner])
        window = int(own[best[own].argmax()])
        null = may_be_null and float(none[own].min()) > float(best[window])
        score = float(none[own].min() if null else best[window])
        total = float(np.logaddexp.reduce(mass[own]))
        spans.append(Span(window, int(first[window]), int(last[window]), float(np.exp(score - total)), null))
    return spans


def _log_mass(scores: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """log of the sum of exp over the allowed tokens and token 0, of each window."""
    counted = allowed.copy()
    counted[:, 0] = True
    masked = np.where(counted, scores, -np.inf)
    peak: Floats = masked.max(axis=1)
    total: Floats = peak + np.log(np.exp(masked - peak[:, None]).sum(axis=1))
    return total
