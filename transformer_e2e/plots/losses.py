"""The main panel of a trial's picture: training and validation loss, the best evaluation, the yardsticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from transformer_e2e.plots.canvas import BLUE, INK, RED, SKY, calm_ticks
from transformer_e2e.plots.history import Point, TrialHistory
from transformer_e2e.plots.scale import readable_limits
from transformer_e2e.plots.smooth import smoothed

_LOG_FROM = 6.0  # highest loss over lowest, from which on the axis is logarithmic
OF_THE_LOSS = ("eval/loss", "eval/bits_per_byte", "eval/perplexity")
_FEW_VALUES = 60  # up to so many losses none is left outside: each is one that somebody looks for
_REACH = 0.4  # a yardstick this part of the axis below the curves is still shown
_CROWDED = 0.035  # labels nearer than this part of the axis share a line


def draw_losses(axis: Any, history: TrialHistory) -> None:
    """Losses in the history's unit; a second axis on the right for bits per byte, where they were logged."""
    train, evaluated = history.series("train/loss"), history.series("eval/loss")
    seen = _draw_training(axis, train) if train else []
    if evaluated:
        size = 4.0 if len(evaluated) <= 60 else 0.0
        axis.plot(*zip(*evaluated, strict=True), color=RED, marker="o", markersize=size, label="validation")
        step, loss = min(evaluated, key=lambda point: point[1])
        best = "best validation" if history.metric in OF_THE_LOSS else "lowest validation loss"
        axis.plot(
            [step],
            [loss],
            color=RED,
            marker="*",
            markersize=15,
            markeredgecolor="black",
            markeredgewidth=0.7,
            linestyle="",
            zorder=5,
            clip_on=False,
            label=f"{best}: {loss:.4g} at step {step:,.0f}",
        )
    rate = _nats_per_bit(history, evaluated)
    marks = {name: bits * rate for name, bits in history.yardsticks.items()} if rate else {}
    low, high = _set_limits(axis, [*seen, *[loss for _, loss in evaluated]], marks)
    axis.set_ylabel(history.loss_name, fontsize=9)
    _draw_yardsticks(
        axis,
        {name: mark for name, mark in marks.items() if low <= mark <= high - 0.03 * (high - low)},
        rate or 1.0,
    )
    if rate:
        bits_axis = axis.secondary_yaxis("right", functions=(lambda y: y / rate, lambda y: y * rate))
        bits_axis.set_ylabel("bits per byte", fontsize=9)
        bits_axis.tick_params(labelsize=8)
        bits_axis.spines["right"].set_visible(False)
        calm_ticks(bits_axis, 7, logarithmic=axis.get_yscale() == "log")
    axis.legend(
        fontsize=8.5, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderaxespad=0.2
    )


def _set_limits(axis: Any, values: list[float], marks: dict[str, float]) -> tuple[float, float]:
    """The axis' limits; yardsticks that are not far below the curves count."""
    reach = 3.0 if len(values) > _FEW_VALUES else math.inf
    low, high = readable_limits(values, reach)
    if low <= 0 < min(values):
        low = 0.9 * min(values)
    if 0 < low * _LOG_FROM < high:
        axis.set_yscale("log")
    else:
        reach, margin = low - _REACH * (high - low), 0.04 * (high - low)
        low = min([low, *[mark - margin for mark in marks.values() if mark >= reach]])
    axis.set_ylim(low, high)
    calm_ticks(axis, 7)
    return low, high


def _draw_training(axis: Any, train: list[Point]) -> list[float]:
    """Returns the values that the axis should show."""
    steps, values = [step for step, _ in train], [value for _, value in train]
    calm, window = smoothed(values)
    if window > 1:
        axis.plot(steps, values, color=SKY, linewidth=0.7, alpha=0.5, label="training batches")
        axis.plot(steps, calm, color=BLUE, linewidth=1.7, label=f"training, mean of {window} rows")
    else:
        axis.plot(steps, values, color=BLUE, linewidth=1.5, marker=marker_of(steps), label="training batches")
    return [*calm, *values[len(values) // 4 :]]


def marker_of(points: Sequence[object]) -> str | None:
    """Dots for a line through so few of `points` that it could not be seen."""
    return "o" if len(points) < 3 else None


def _nats_per_bit(history: TrialHistory, evaluated: list[Point]) -> float | None:
    """Nats per token of one bit per byte; fixed by the tokenizer and the text. None where it is unknown."""
    losses = dict(evaluated)
    for step, bits in reversed(history.series("eval/bits_per_byte")):
        if bits > 0 and losses.get(step, 0.0) > 0:
            return losses[step] / bits
    return None


def _draw_yardsticks(axis: Any, marks: dict[str, float], rate: float) -> None:
    """Dashed lines with their names at the left, where a falling curve is far above them."""
    transform = axis.get_yaxis_transform()
    low, high = axis.get_ylim()
    last, names = None, []
    for name, mark in sorted(marks.items(), key=lambda item: item[1]):
        axis.axhline(mark, color=INK, linestyle=(0, (5, 4)), linewidth=0.8, alpha=0.7, zorder=0.8)
        words = f"{name.replace('_', ' ')} {mark / rate:.2f}"
        if last is not None and (mark - last) / (high - low) < _CROWDED:
            names[-1] = (mark, f"{names[-1][1]},  {words}")
        else:
            names.append((mark, words))
        last = mark
    for mark, words in names:
        axis.text(
            0.008,
            mark,
            words,
            transform=transform,
            fontsize=7.5,
            color=INK,
            va="bottom",
            ha="left",
            zorder=4,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )
