"""Figures without a screen: one style, written complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

DPI = 130
BEST = "#c1121f"
CALM = "#30638e"
PALE = "#9aa5b1"


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Any, Any]:
    """A figure of `width` x `height` inches and its grid of axes, always as a 2-D array."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.grid(True, color="#e3e7eb", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure, axes


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
