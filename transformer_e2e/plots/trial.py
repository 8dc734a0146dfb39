"""The picture of one trial: loss, learning rate, gradient norm and speed over its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.plots.canvas import BEST, CALM, PALE, new_figure, write
from transformer_e2e.plots.scale import readable_limits

Row = Mapping[str, Any]
_PANELS = (
    ("train/learning_rate", "learning rate"),
    ("train/grad_norm", "gradient norm (before clipping)"),
    ("perf/tokens_per_second", "tokens / s"),
)


def plot_trial(journal_rows: Sequence[Row], attempts: Sequence[Row], title: str, path: Path) -> Path | None:
    """Draw a trial from its metrics.jsonl (rows of `step` and `metrics`) and the lines of its attempts.jsonl.

    Panels without data are left out. A dotted line marks the step at which an attempt ended before the
    last one went on. Writes the PNG at `path` and returns it, or None if no row has a loss.
    """
    losses = [name for name in ("train/loss", "eval/loss") if _series(journal_rows, name)]
    if not losses:
        return None
    panels = [(name, text) for name, text in _PANELS if _series(journal_rows, name)]
    figure, axes = new_figure(
        9, 4 + 1.5 * len(panels), 1 + len(panels), 1, sharex=True, height_ratios=[3] + [1] * len(panels)
    )
    top = axes[0, 0]
    _draw_losses(top, journal_rows)
    for axis, (name, text) in zip(axes[1:, 0], panels, strict=True):
        axis.plot(*zip(*_series(journal_rows, name), strict=True), color=CALM, linewidth=1.1)
        axis.set_title(text, fontsize=8.5, loc="left")
        axis.set_ylim(bottom=0)
    for axis in axes[:, 0]:
        for step in _interruptions(attempts):
            axis.axvline(step, color=PALE, linestyle=":", linewidth=1.2)
    number = sum(line.get("event") == "start" for line in attempts)
    top.set_title(f"{title}   ({number} attempts)" if number > 1 else title, fontsize=10, loc="left")
    axes[-1, 0].set_xlabel("optimizer step")
    return write(figure, path)


def _draw_losses(axis: Any, rows: Sequence[Row]) -> None:
    train, evaluated = _series(rows, "train/loss"), _series(rows, "eval/loss")
    if train:
        axis.plot(*zip(*train, strict=True), color=PALE, linewidth=1.0, label="training batches")
    if evaluated:
        axis.plot(*zip(*evaluated, strict=True), color=CALM, marker="o", markersize=4, label="validation")
        step, loss = min(evaluated, key=lambda pair: pair[1])
        axis.plot(
            [step], [loss], color=BEST, marker="*", markersize=13, linestyle="", label=f"best {loss:.4g}"
        )
    axis.set_ylim(*readable_limits([loss for _, loss in (*train, *evaluated)]))
    axis.set_ylabel("loss [nats/token]")
    axis.legend(fontsize=8, frameon=False)


def _series(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that hold a finite `name`."""
    found = []
    for row in rows:
        value = row["metrics"].get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            found.append((float(row["step"]), float(value)))
    return found


def _interruptions(attempts: Sequence[Row]) -> list[float]:
    ends = [line for line in attempts if line.get("event") == "end" and line.get("steps") is not None]
    return [float(line["steps"]) for line in ends[:-1]]
