"""Parallel coordinates: one line a trial, through its settings to its metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.plots.canvas import new_figure, write
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import Scale, readable_limits, scale_of


def parallel(points: Sequence[SweepPoint], names: Sequence[str], metric: str, goal: str, path: Path) -> Path:
    """Draw `points` (best first, each with a finite metric) over the settings `names`; darker is better."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    limits = readable_limits([point.score for point in points])
    norm = Normalize(*limits, clip=True)
    colours = colormaps["viridis_r" if goal == "maximize" else "viridis"]
    axes_of = {name: _axis_of([point.settings.get(name) for point in points]) for name in names}
    figure, axes = new_figure(2.2 + 1.7 * len(names), 4.6)
    axis = axes[0, 0]
    for rank, point in reversed(list(enumerate(points))):
        heights = [
            scale.fraction(scale.position(point.settings.get(name)), low, high)
            for name, (scale, low, high) in axes_of.items()
        ]
        axis.plot(
            range(len(names) + 1),
            [*heights, float(norm(point.score))],
            color=colours(norm(point.score)),
            linestyle="-" if point.finished else "--",
            linewidth=3.2 if rank == 0 else 1.4,
            alpha=0.95 if point.finished else 0.7,
            solid_capstyle="round",
        )
    for place, (scale, low, high) in enumerate(axes_of.values()):
        ticks = scale.ticks(low, high)
        _draw_axis(axis, place, [(scale.fraction(at, low, high), text) for at, text in ticks])
    span = limits[1] - limits[0]
    _draw_axis(axis, len(names), [(share, f"{limits[0] + share * span:.3g}") for share in (0.0, 0.5, 1.0)])
    _frame(axis, [*names, metric])
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axis, pad=0.02, fraction=0.05)
    bar.set_label(metric, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return write(figure, path)


def _axis_of(values: Sequence[Any]) -> tuple[Scale, float, float]:
    scale = scale_of(values)
    places = [scale.position(value) for value in values]
    return scale, min(places), max(places)


def _draw_axis(axis: Any, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axis.axvline(place, color="#52606d", linewidth=0.9, zorder=1)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for height, text in ticks:
        axis.text(place + 0.03, height, text, fontsize=7.5, va="center", zorder=5, bbox=box)


def _frame(axis: Any, names: Sequence[str]) -> None:
    axis.set_xticks(range(len(names)), names, fontsize=9)
    axis.set_yticks([])
    axis.set_xlim(-0.15, len(names) - 0.55)
    axis.set_ylim(-0.04, 1.04)
    axis.grid(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_title(
        "One line is one trial (thick: best, dashed: stopped before its end)", fontsize=10, loc="left"
    )
