"""Parallel coordinates: one line a trial, through its settings to its metric."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from transformer_e2e.plots.canvas import BEST, INK, PALE, new_figure, write
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import Scale, readable_limits, scale_of

_GOLDEN = 0.618
_SPREAD = 0.05  # lines through one category are spread over this part of the axis, so that each is seen
_CROWD = 30.0  # trials from which on lines become thinner and paler
_STEPS = 24  # points of the curve between two axes


def plot_parallel(
    points: Sequence[SweepPoint], names: Sequence[str], metric: str, goal: str, path: Path
) -> Path:
    """Draw `points` (best first, each with a finite metric) over the settings `names`.

    Finished trials are coloured by the metric (darker is better), the others faint and dashed, the best
    red and in front. Where an axis is logarithmic its name says so.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    # Of the finished ones: the first evaluations of pruned trials would push all others into one colour.
    limits = readable_limits([p.score for p in points if p.finished] or [p.score for p in points])
    norm = Normalize(*limits, clip=True)
    colours = colormaps["viridis_r" if goal == "maximize" else "viridis"]
    axes_of = {name: _axis_of([point.settings.get(name) for point in points]) for name in names}
    figure, axes = new_figure(3.2 + 1.55 * len(names), 5)
    axis = axes[0, 0]
    crowd = min(1.0, (_CROWD / len(points)) ** 0.5)
    for rank, point in reversed(list(enumerate(points))):
        share = float(norm(point.score))
        heights = [*_heights(point, rank, axes_of), share]
        if rank == 0:
            look: dict[str, Any] = {"color": BEST, "linewidth": 3.2, "zorder": 4}
        elif point.finished:
            look = {
                "color": colours(share),
                "linewidth": 0.6 + crowd,
                "alpha": 0.35 + 0.5 * crowd,
                "zorder": 3,
            }
        else:
            look = {"color": PALE, "linewidth": 0.4 + 0.7 * crowd, "alpha": 0.2 + 0.5 * crowd, "zorder": 2}
        axis.plot(*_bent(heights), linestyle="-" if point.finished else "--", **look)
    for place, (scale, low, high) in enumerate(axes_of.values()):
        ticks = scale.ticks(low, high)
        _draw_axis(axis, place, [(scale.fraction(at, low, high), text) for at, text in ticks])
    span = limits[1] - limits[0]
    ticks_of_metric = [(i / 4, f"{limits[0] + i / 4 * span:.3g}") for i in range(5)]
    _draw_axis(axis, len(names), ticks_of_metric)
    shown = [f"{name}\n(log)" if axes_of[name][0].kind == "log" else name for name in names]
    _frame(axis, [*shown, metric])
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axis, pad=0.02, fraction=0.03)
    bar.set_label(metric, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    legend = "red: best    coloured: finished, by its metric    dashed grey: stopped before its end"
    figure.supxlabel(legend, fontsize=8, color=INK, x=0.01, ha="left")
    return write(figure, path)


def _axis_of(values: Sequence[Any]) -> tuple[Scale, float, float]:
    scale = scale_of(values)
    places = [scale.position(value) for value in values]
    return scale, min(places), max(places)


def _heights(point: SweepPoint, rank: int, axes_of: dict[str, tuple[Scale, float, float]]) -> list[float]:
    found = []
    for column, (name, (scale, low, high)) in enumerate(axes_of.items()):
        height = scale.fraction(scale.position(point.settings.get(name)), low, high)
        if scale.kind == "category" and rank:
            height += _SPREAD * ((rank * _GOLDEN + column * 0.37) % 1 - 0.5)
        found.append(height)
    return found


def _bent(heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """A curve that is level at each axis: where lines meet there, the eye can still follow one."""
    across, up = [0.0], [heights[0]]
    for place, (first, last) in enumerate(pairwise(heights)):
        for step in range(1, _STEPS + 1):
            share = step / _STEPS
            across.append(place + share)
            up.append(first + (last - first) * share * share * (3 - 2 * share))
    return across, up


def _draw_axis(axis: Any, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axis.axvline(place, ymin=0.02, ymax=0.98, color=INK, linewidth=1.0, zorder=3.5)
    box = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0}
    for height, text in ticks:
        axis.text(place + 0.03, height, text, fontsize=8, va="center", zorder=5, bbox=box)


def _frame(axis: Any, names: Sequence[str]) -> None:
    axis.set_xticks(range(len(names)), names, fontsize=9)
    axis.tick_params(length=0)
    axis.set_yticks([])
    axis.set_xlim(-0.1, len(names) - 0.62)
    axis.set_ylim(-0.05, 1.05)
    axis.grid(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_title("One line is one trial", fontsize=11, fontweight="bold", loc="left")
