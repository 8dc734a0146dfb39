"""Pictures of a sweep: which ones its trials allow, and why the others are missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_e2e.plots.advance import plot_advance
from transformer_e2e.plots.curves import plot_curves
from transformer_e2e.plots.importance import MIN_TRIALS, importance
from transformer_e2e.plots.parallel import plot_parallel
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.settings import plot_settings
from transformer_e2e.plots.shares import plot_shares


@dataclass(frozen=True)
class SweepPictures:
    """`paths` that were written, and `notes` on what was not and why."""

    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def plot_sweep(points: Sequence[SweepPoint], metric: str, goal: str, directory: Path) -> SweepPictures:
    """Write curves.png, settings.png, parallel.png, importance.png and progress.png below `directory`.

    All but the first need a setting that differs between two trials with a finite metric, importance.png
    eight finished ones. `goal` is minimize or maximize; `metric` is the axis label.
    """
    scored = [p for p in points if p.value is not None and math.isfinite(p.value)]
    if not scored:
        return SweepPictures(notes=("no pictures: no trial has a finite metric yet",))
    sign = -1 if goal == "maximize" else 1
    scored.sort(key=lambda point: sign * point.score)
    written = [
        plot_curves(scored, metric, directory / "curves.png"),
        plot_advance(scored, metric, goal, directory / "progress.png"),
    ]
    notes: list[str] = []
    names = [n for n in scored[0].settings if len({repr(p.settings.get(n)) for p in scored}) > 1]
    if names:
        written.append(plot_settings(scored, names, metric, directory / "settings.png"))
        written.append(plot_parallel(scored, names, metric, goal, directory / "parallel.png"))
        finished = [p for p in scored if p.finished]
        found = importance([p.settings for p in finished], [p.score for p in finished])
        if found:
            left_out = len(points) - len(finished)
            written.append(plot_shares(found, metric, left_out, directory / "importance.png"))
        else:
            (directory / "importance.png").unlink(missing_ok=True)  # of an earlier look, at fewer trials
            notes.append(_why_no_importance(len(finished)))
    return SweepPictures(tuple(path for path in written if path), tuple(notes))


def _why_no_importance(finished: int) -> str:
    if finished < MIN_TRIALS:
        return f"importance.png is drawn from {MIN_TRIALS} finished trials on; there are {finished}"
    return f"no importance.png: no setting predicts how trials compare, judged by {finished} finished ones"
