"""The metric against each setting that a sweep has searched."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from transformer_e2e.plots.canvas import BEST, INK, calm_ticks, new_figure, write
from transformer_e2e.plots.dots import LEGEND, draw_dots
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import Scale, label, readable_limits, scale_of

_FEWEST = 12  # finished trials from which on a line of medians is drawn
_STRIP = 0.5  # width of the strip in which the points of a category are spread
_GOLDEN = 0.618  # multiples of the golden ratio fill a strip evenly


def plot_settings(points: Sequence[SweepPoint], names: Sequence[str], metric: str, path: Path) -> Path:
    """`points` are sorted, best first, each with a finite metric. Numbers lie on a linear or log axis,
    everything else in strips; medians are over the finished trials."""
    columns = 2 if len(names) == 4 else min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = new_figure(1.2 + 3.5 * columns, 1.0 + 2.9 * rows, rows, columns, sharey=True)
    limits = readable_limits([point.score for point in points])
    for axis, name in zip(axes.flat, names, strict=False):
        _panel(axis, points, name, limits)
    axes[0, 0].set_ylim(*limits)
    for axis in axes[:, 0]:
        axis.set_ylabel(metric, fontsize=9)
        calm_ticks(axis, 6)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    finished = sum(point.finished for point in points)
    figure.suptitle(
        f"{metric} against each searched setting", fontsize=11, fontweight="bold", x=0.01, ha="left"
    )
    counts = LEGEND.format(f" ({finished})", f" ({len(points) - finished})")
    legend = f"star: best    {counts}    black line: median of finished trials"
    figure.supxlabel(legend, fontsize=8, color=INK, x=0.01, ha="left")
    return write(figure, path)


def _panel(axis: Any, points: Sequence[SweepPoint], name: str, limits: tuple[float, float]) -> None:
    scale = scale_of([point.settings.get(name) for point in points])
    placed = []
    for rank, point in enumerate(points):
        spread = _STRIP * ((rank * _GOLDEN) % 1 - 0.5) if scale.kind == "category" and rank else 0.0
        placed.append((scale.position(point.settings.get(name)) + spread, point))
    draw_dots(axis, placed[1:], limits, 34 * min(1.0, max(0.35, (60 / len(points)) ** 0.5)))
    place, best = placed[0]
    axis.scatter(
        [place],
        [best.score],
        s=120,
        marker="*",
        facecolors=BEST if best.finished else "white",
        edgecolors="black",
        linewidths=0.7,
        clip_on=False,
        zorder=5,
    )
    finished = [(scale.position(p.settings.get(name)), p.score) for p in points if p.finished]
    if scale.kind == "category":
        _draw_category_medians(axis, finished, scale)
    else:
        axis.set_xscale(scale.kind)
        _draw_running_median(axis, finished)
        _name_ticks(axis, scale)
    axis.set_xlabel(name, fontsize=9.5)


def _draw_category_medians(axis: Any, finished: Sequence[tuple[float, float]], scale: Scale) -> None:
    texts = scale.shown
    turned = sum(len(text) for text in texts) > 30
    axis.set_xticks(
        range(len(texts)), texts, rotation=20 if turned else 0, ha="right" if turned else "center"
    )
    axis.set_xlim(-0.5, len(texts) - 0.5)
    axis.grid(False, axis="x")
    for place in range(len(texts)):
        values = [value for at, value in finished if at == place]
        if len(values) > 1:
            axis.hlines(
                statistics.median(values), place - 0.32, place + 0.32, color="black", linewidth=1.6, zorder=4
            )


def _draw_running_median(axis: Any, finished: Sequence[tuple[float, float]]) -> None:
    if len(finished) < _FEWEST:
        return
    ordered = sorted(finished)
    count = min(8, len(ordered) // 5)
    edges = [round(i * len(ordered) / count) for i in range(count + 1)]
    groups = [ordered[low:high] for low, high in pairwise(edges)]
    middles = [statistics.median(place for place, _ in group) for group in groups]
    axis.plot(
        middles,
        [statistics.median(v for _, v in group) for group in groups],
        color="black",
        linewidth=1.6,
        zorder=4,
    )


def _name_ticks(axis: Any, scale: Scale) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_xlim()
    if scale.kind == "log":
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < 200 * low else (1,), numticks=6))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(lambda value, _: label(float(value)))
