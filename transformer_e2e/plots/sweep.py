"""Pictures of a sweep: every trial's curve, the metric against each setting, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from transformer_e2e.plots.canvas import BEST, CALM, PALE, new_figure, write
from transformer_e2e.plots.importance import MIN_TRIALS, importance
from transformer_e2e.plots.parallel import parallel
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.scale import readable_limits, scale_of

_LONGEST_LEGEND = 12


def plot_sweep(points: Sequence[SweepPoint], metric: str, goal: str, directory: Path) -> list[Path]:
    """Write the pictures that these trials allow below `directory`, and return their paths.

    curves.png, settings.png and parallel.png need one trial with a finite metric, importance.png eight
    finished ones. `goal` is minimize or maximize; `metric` is the axis label.
    """
    scored = [p for p in points if p.value is not None and math.isfinite(p.value)]
    if not scored:
        return []
    sign = -1 if goal == "maximize" else 1
    scored.sort(key=lambda point: sign * point.score)
    written = [_curves(scored, metric, directory / "curves.png")]
    names = [n for n in scored[0].settings if len({repr(p.settings.get(n)) for p in scored}) > 1]
    if names:
        finished = [p for p in scored if p.finished]
        shares = importance(
            [{n: p.settings.get(n) for n in names} for p in finished], [p.score for p in finished]
        )
        note = "" if shares else _why_no_importance(len(finished))
        written.append(_settings(scored, names, metric, note, directory / "settings.png"))
        written.append(parallel(scored, names, metric, goal, directory / "parallel.png"))
        if shares:
            written.append(_importance(shares, metric, len(finished), directory / "importance.png"))
    return written


def _why_no_importance(finished: int) -> str:
    if finished < MIN_TRIALS:
        return f"what mattered most can be guessed from {MIN_TRIALS} finished trials on; there are {finished}"
    return "no setting explains the differences between the finished trials"


def _curves(points: Sequence[SweepPoint], metric: str, path: Path) -> Path:
    """`points` are sorted, best first."""
    figure, axes = new_figure(9, 5)
    axis = axes[0, 0]
    drawn = [point for point in points if point.curve]
    for rank, point in reversed(list(enumerate(drawn))):
        steps = [step for step, _ in point.curve]
        values = [value if math.isfinite(value) else math.nan for _, value in point.curve]
        axis.plot(
            steps,
            values,
            color=BEST if rank == 0 else (CALM if point.finished else PALE),
            linestyle="-" if point.finished else "--",
            linewidth=2.2 if rank == 0 else 1.2,
            alpha=1.0 if rank == 0 else 0.85,
            marker="o",
            markersize=3.5,
            label=_legend_text(point, rank, len(drawn)),
        )
    seen = [value for point in drawn for _, value in point.curve if math.isfinite(value)]
    if seen:
        axis.set_ylim(*readable_limits(seen))
    axis.set_xlabel("optimizer step")
    axis.set_ylabel(metric)
    axis.set_title(
        "Every trial's metric over training (dashed: stopped before its end)", fontsize=10, loc="left"
    )
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        axis.legend(
            handles[::-1][:_LONGEST_LEGEND],
            labels[::-1][:_LONGEST_LEGEND],
            fontsize=7,
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )
    return write(figure, path)


def _legend_text(point: SweepPoint, rank: int, count: int) -> str:
    more = f"   (+ {count - _LONGEST_LEGEND} more)" if rank == _LONGEST_LEGEND - 1 < count - 1 else ""
    return f"{point.value:.4g}  {point.name}{more}"


def _settings(points: Sequence[SweepPoint], names: Sequence[str], metric: str, note: str, path: Path) -> Path:
    columns = 2 if len(names) == 4 else min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = new_figure(1.2 + 3.3 * columns, 0.8 + 2.9 * rows, rows, columns, sharey=True)
    limits = readable_limits([point.score for point in points])
    for axis, name in zip(axes.flat, names, strict=False):
        scale = scale_of([point.settings.get(name) for point in points])
        for rank, point in reversed(list(enumerate(points))):
            value = point.score
            colour = BEST if rank == 0 else CALM
            axis.scatter(
                [scale.position(point.settings.get(name))],
                [min(max(value, limits[0]), limits[1])],
                s=70 if rank == 0 else 34,
                marker="*" if rank == 0 else ("o" if limits[0] <= value <= limits[1] else "^"),
                facecolors=colour if point.finished else "white",
                edgecolors=colour if point.finished or rank == 0 else PALE,
                clip_on=False,
                zorder=3,
            )
        if scale.kind == "category":
            axis.set_xticks(range(len(scale.categories)), scale.categories)
            axis.set_xlim(-0.5, len(scale.categories) - 0.5)
        else:
            axis.set_xscale(scale.kind)
        axis.set_xlabel(name, fontsize=9)
    axes[0, 0].set_ylim(*limits)
    for axis in axes[:, 0]:
        axis.set_ylabel(metric, fontsize=9)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    legend = "star: best   filled: finished   hollow: stopped before its end   triangle: beyond the axis"
    figure.suptitle(f"{metric} against each searched setting", fontsize=10, x=0.01, ha="left")
    figure.supxlabel("\n".join(text for text in (legend, note) if text), fontsize=7.5, color="#52606d")
    return write(figure, path)


def _importance(shares: dict[str, float], metric: str, trials: int, path: Path) -> Path:
    figure, axes = new_figure(6.5, 1.4 + 0.35 * len(shares))
    axis = axes[0, 0]
    ordered = sorted(shares.items(), key=lambda item: item[1])
    bars = axis.barh([name for name, _ in ordered], [share for _, share in ordered], color=CALM, height=0.6)
    axis.bar_label(bars, [f"{share:.0%}" for _, share in ordered], fontsize=8, padding=3)
    axis.set_xlim(0, 1.1 * max(shares.values()))
    axis.set_xlabel(
        "share of the explained differences (permutation importance of a random forest)", fontsize=8
    )
    axis.set_title(f"What decided {metric}, guessed from {trials} finished trials", fontsize=10, loc="left")
    return write(figure, path)
