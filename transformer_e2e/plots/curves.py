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
    if not drawn:
        return None
    figure, axes = new_figure(10.5, 5.4)
    axis = axes[0, 0]
    crowd = min(1.0, (_CROWD / len(drawn)) ** 0.5)
    for rank, point in reversed(list(enumerate(drawn))):
        _draw(axis, point, rank, crowd)
    seen = [value for point in drawn for _, value in point.curve if math.isfinite(value)]
    axis.set_ylim(*readable_limits(seen))
    calm_ticks(axis, 7)
    axis.set_xlim(left=0)
    count_ticks(axis)
    axis.set_xlabel("optimizer step", fontsize=9)
    axis.set_ylabel(metric, fontsize=9)
    finished = sum(point.finished for point in drawn)
    stopped = len(drawn) - finished
    axis.set_title(f"{metric} of every trial", fontsize=11, fontweight="bold", loc="left")
    _legend(axis, drawn, finished, stopped)
    return write(figure, path)


def _draw(axis: Any, point: SweepPoint, rank: int, crowd: float) -> None:
    steps = [step for step, _ in point.curve]
    values = [value if math.isfinite(value) else math.nan for _, value in point.curve]
    named = rank < len(_NAMED)
    colour = _NAMED[rank] if named else PALE
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


def _legend(axis: Any, drawn: Sequence[SweepPoint], finished: int, stopped: int) -> None:
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
