"""Trials as dots along an axis: the same marks in every picture of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformer_e2e.plots.canvas import CALM, PALE
from transformer_e2e.plots.point import SweepPoint

LEGEND = "filled: finished{}    hollow: stopped before its end{}    triangle: beyond the axis"


def draw_dots(
    axis: Any, placed: Sequence[tuple[float, SweepPoint]], limits: tuple[float, float], size: float
) -> None:
    """`placed`: where on the x axis each trial (with a finite metric) belongs. See `LEGEND`."""
    low, high = limits
    for finished in (False, True):
        for inside in (True, False):
            dots = [
                (place, min(max(point.score, low), high))
                for place, point in placed
                if point.finished == finished and (low <= point.score <= high) == inside
            ]
            if dots:
                axis.scatter(
                    *zip(*dots, strict=True),
                    s=size,
                    marker="o" if inside else "^",
                    facecolors=CALM if finished else "white",
                    edgecolors=CALM if finished else PALE,
                    linewidths=0 if finished else 1.0,
                    alpha=0.8,
                    clip_on=False,
                    zorder=3 if finished else 2.5,
                )
