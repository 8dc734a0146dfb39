"""Every trial's metric over training, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.plots.canvas import (
    BLUE,
    GREEN,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    calm_ticks,
    count_ticks,
    new_figure,
    write,
)
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import readable_limits

_NAMED = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY)  # of the best trials, in this order
_CROWD = 40.0  # trials from which on lines are thinner and paler


def plot_curves(points: Sequence[SweepPoint], metric: str, path: Path) -> Path | None:
    """`points` are sorted, best first: the first six get a colour and their name, the rest is grey.

    None, and nothing written, if no trial has a curve.
    """
    drawn = [point for point in points if any(math.isfinite(value) for _, value in point.curve)]
    return write(draw_curves(drawn, metric), path) if drawn else None


def draw_curves(drawn: Sequence[SweepPoint], metric: str) -> Any:
    """The figure; each of `drawn`, at least one, has a finite value."""
    figure, axes = new_figure(10.5, 5.4)
    axis = axes[0, 0]
    crowd = min(1.0, (_CROWD / len(drawn)) ** 0.5)
    for rank, point in reversed(list(enumerate(drawn))):
        _draw(axis, point, rank, crowd)
    seen = [value for point in drawn for _, value in point.curve if math.isfinite(value)]
    limits = readable_limits(seen)
    axis.set_ylim(*limits)
    beyond = [(rank, point) for rank, point in enumerate(drawn) if not _within(point, limits)]
    for rank, point in reversed(beyond):
        _mark_beyond(axis, point, _colour(rank), limits)
    calm_ticks(axis, 7)
    axis.set_xlim(left=0)
    count_ticks(axis)
    axis.set_xlabel("optimizer step", fontsize=9)
    axis.set_ylabel(metric, fontsize=9)
    finished = sum(point.finished for point in drawn)
    stopped = len(drawn) - finished
    axis.set_title(f"{metric} of every trial", fontsize=11, fontweight="bold", loc="left")
    _legend(axis, drawn, finished, stopped, len(beyond))
    return figure


def _draw(axis: Any, point: SweepPoint, rank: int, crowd: float) -> None:
    steps = [step for step, _ in point.curve]
    values = [value if math.isfinite(value) else math.nan for _, value in point.curve]
    named, colour = rank < len(_NAMED), _colour(rank)
    axis.plot(
        steps,
        values,
        color=colour,
        linestyle="-" if point.finished else (0, (3, 2)),
        linewidth=2.8 if rank == 0 else 1.6 if named else 1.2 * crowd,
        alpha=1.0 if named else 0.85 * crowd,
        marker="o" if len(values) == 1 else None,
        markersize=3,
        zorder=3 + (len(_NAMED) - rank if named else 0) / 10,
    )
    if not point.finished:  # where it was stopped
        axis.plot(steps[-1:], values[-1:], color=colour, marker="x", markersize=5 * max(0.6, crowd), zorder=3)


def _colour(rank: int) -> str:
    return _NAMED[rank] if rank < len(_NAMED) else PALE


def _within(point: SweepPoint, limits: tuple[float, float]) -> bool:
    """Whether any of the curve can be seen."""
    return any(limits[0] <= value <= limits[1] for _, value in point.curve)


def _mark_beyond(axis: Any, point: SweepPoint, colour: str, limits: tuple[float, float]) -> None:
    """A triangle at the edge behind which the whole curve lies, at its last finite value."""
    step, value = [(step, value) for step, value in point.curve if math.isfinite(value)][-1]
    above = value > limits[1]
    axis.plot(
        [step],
        [0.985 if above else 0.015],
        transform=axis.get_xaxis_transform(),
        color=colour,
        marker="^" if above else "v",
        markersize=6,
        linestyle="none",
    )


def _legend(axis: Any, drawn: Sequence[SweepPoint], finished: int, stopped: int, beyond: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=colour, linewidth=2.8 if rank == 0 else 1.6, linestyle="-" if p.finished else "--"
        )
        for rank, (colour, p) in enumerate(zip(_NAMED, drawn, strict=False))
    ]
    labels = [f"{point.score:.4g}  {point.name}" for point, _ in zip(drawn, _NAMED, strict=False)]
    if len(drawn) > len(_NAMED):
        handles.append(Line2D([], [], color=PALE, linewidth=1.2))
        labels.append(f"the other {len(drawn) - len(_NAMED)}")
    if stopped:
        handles.append(
            Line2D([], [], color="#52606d", linewidth=1.2, linestyle="--", marker="x", markersize=5)
        )
        labels.append(f"stopped before its end ({stopped} of {finished + stopped})")
    if beyond:
        handles.append(Line2D([], [], color="#52606d", linestyle="none", marker="^", markersize=6))
        labels.append(f"beyond the axis ({beyond})")
    axis.legend(
        handles,
        labels,
        title="best first",
        title_fontsize=8,
        alignment="left",
        fontsize=7.5,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
