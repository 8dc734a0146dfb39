"""Figures without a screen: one style and one palette, written complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DPI = 130
# Okabe and Ito, Color Universal Design, 2008: told apart by every common kind of colour vision.
BLUE, SKY, ORANGE, RED, GREEN, PURPLE = "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7"
BEST = RED
CALM = BLUE
PALE = "#9aa5b1"
INK = "#52606d"  # of notes and of lines that are no data
_GRID = "#e3e7eb"


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Any, Any]:
    """A figure of `width` x `height` inches and its grid of axes, always as a 2-D array."""
    figure = _blank(width, height)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        dress(axis)
    return figure, axes


def new_mosaic(
    width: float, height: float, layout: Sequence[Sequence[str]], heights: Sequence[float]
) -> tuple[Any, dict[str, Any]]:
    """A figure whose axes, by name, share the x axis; `layout` has one list of names a row."""
    figure = _blank(width, height)
    axes = figure.subplot_mosaic([list(row) for row in layout], sharex=True, height_ratios=list(heights))
    for axis in axes.values():
        dress(axis)
    return figure, axes


def dress(axis: Any) -> None:
    """The look of an axis: a pale grid behind the data, no box around it."""
    axis.grid(True, color=_GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def calm_ticks(axis: Any, count: int = 4, *, logarithmic: bool | None = None) -> None:
    """About `count` round numbers on the y axis; None: logarithmic if its scale is."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    if logarithmic is None:
        logarithmic = axis.get_yscale() == "log"
    if not logarithmic:
        axis.yaxis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))
        return
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=6))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def count_ticks(axis: Any) -> None:
    """Whole numbers on the x axis, of steps or of trials, also where there are only one or two."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10], min_n_ticks=1))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def write(figure: Any, path: Path) -> Path:
    """Save `figure` as a PNG at `path`; whoever looks meanwhile sees the old picture or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(draft, dpi=DPI, format="png")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _blank(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
