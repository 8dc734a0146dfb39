"""How a sweep came to its best: the best metric so far, against trials and against hours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.plots.canvas import BEST, INK, calm_ticks, count_ticks, new_figure, write
from transformer_e2e.plots.dots import LEGEND, draw_dots
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import readable_limits

_SHORT = 2.0  # [hours] a sweep that took less is told in minutes


def plot_advance(points: Sequence[SweepPoint], metric: str, goal: str, path: Path) -> Path | None:
    """`points`, each with a finite metric, in any order. None, and nothing written, if no number is known."""
    numbered = [(float(point.number), point) for point in points if point.number]
    hours = [(point.ended, point) for point in points if point.ended is not None]
    short = all(ended < _SHORT for ended, _ in hours)
    timed = [(60 * ended if short else ended, point) for ended, point in hours]
    panels = [
        ("trial number", numbered),
        (f"{'minutes' if short else 'hours'} since the sweep's first trial began, to the trial's end", timed),
    ]
    panels = [(text, found) for text, found in panels if len(found) > 1]
    if not panels:
        return None
    figure, axes = new_figure(1 + 5.2 * len(panels), 4, 1, len(panels), sharey=True)
    limits = readable_limits([point.score for point in points])
    for axis, (text, found) in zip(axes[0], panels, strict=True):
        _panel(axis, sorted(found, key=lambda pair: pair[0]), goal, limits)
        axis.set_xlabel(text, fontsize=9)
        if found is numbered:
            count_ticks(axis)
    axes[0, 0].set_ylim(*limits)
    calm_ticks(axes[0, 0], 6)
    axes[0, 0].set_ylabel(metric, fontsize=9)
    figure.suptitle(f"The best {metric} so far", fontsize=11, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(
        f"line: best so far    {LEGEND.format('', '')}",
        fontsize=8,
        color=INK,
        x=0.01,
        ha="left",
    )
    return write(figure, path)


def _panel(
    axis: Any, found: Sequence[tuple[float, SweepPoint]], goal: str, limits: tuple[float, float]
) -> None:
    better = max if goal == "maximize" else min
    best: list[float] = []
    for _, point in found:
        best.append(better([point.score, *best[-1:]]))
    draw_dots(axis, found, limits, 26)
    places = [place for place, _ in found]
    axis.step(places, best, where="post", color=BEST, linewidth=2, zorder=4)
