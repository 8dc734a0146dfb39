"""The picture of one trial: loss, learning rate, gradient norm, speed, generalisation gap over its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformer_e2e.config.wording import several
from transformer_e2e.plots.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    calm_ticks,
    count_ticks,
    new_mosaic,
    write,
)
from transformer_e2e.plots.history import Point, TrialHistory
from transformer_e2e.plots.losses import OF_THE_LOSS, draw_losses, marker_of
from transformer_e2e.plots.scale import label, readable_limits
from transformer_e2e.plots.smooth import smoothed

_OUTCOME_COLOURS = {"finished": GREEN, "early_stopped": GREEN, "diverged": RED, "failed": RED}
_NARROW, _TINY = 0.09, 0.018  # shares of the width below which a stretch has no room for words, for a number


def plot_trial(history: TrialHistory, path: Path) -> Path | None:
    """Write the picture at `path` and return it; None, and nothing written, if no loss was logged.

    Panels without data are left out. A strip on top shows which attempt took which steps; dotted lines
    go through every panel where one was resumed.
    """
    if not any(history.series(name) for name in ("train/loss", "eval/loss")):
        return None
    small = [name for name, draw in _PANELS.items() if draw(None, history)]
    stretches = [s for s in history.stretches() if s.last > s.first]
    layout = [["attempts", "attempts"]] if len(stretches) > 1 else []
    heights = [0.28] * len(layout)
    layout, heights = [*layout, ["loss", "loss"]], [*heights, 4.2]
    for place in range(0, len(small), 2):
        pair = small[place : place + 2]
        layout.append([pair[0], pair[-1]])
        heights.append(1.5)
    figure, axes = new_mosaic(10, 1.1 + 0.78 * sum(heights), layout, heights)
    draw_losses(axes["loss"], history)
    for name in small:
        _PANELS[name](axes[name], history)
        calm_ticks(axes[name])
    if len(stretches) > 1:
        _draw_attempts(axes, history)
    width = history.last_step or 1.0
    axes["loss"].set_xlim(-0.01 * width, 1.01 * width)
    axes["loss"].tick_params(labelbottom=True)
    count_ticks(axes["loss"])
    for name in layout[-1]:
        axes[name].set_xlabel("optimizer step", fontsize=9)
    _head(figure, history)
    return write(figure, path)


def _head(figure: Any, history: TrialHistory) -> None:
    outcome = history.outcome.replace("_", "-") or "not finished"
    facts = [f"{outcome} after {several(round(history.last_step), 'step')}"]
    if best := history.best():
        facts.append(f"best {history.metric} {best[1]:.4g} at step {best[0]:,.0f}")
        bits = dict(history.series("eval/bits_per_byte")).get(best[0])
        facts += [f"{bits:.3f} bits per byte"] if bits is not None else []
    if tokens := history.series("train/tokens"):
        facts.append(f"{_amount(tokens[-1][1])} tokens")
    if seconds := history.seconds():
        facts.append(_time(seconds))
    if (number := len(history.stretches())) > 1:
        facts.append(f"{number} attempts")
    # The second, empty line keeps room for the facts: a title has one size of letters.
    figure.suptitle(f"{history.run_id}\n", x=0.012, ha="left", fontsize=13, fontweight="bold")
    below = 1 - 0.34 / figure.get_figheight()
    figure.text(0.012, below, "  ·  ".join(facts), ha="left", va="top", fontsize=9.5, color=INK)
    colour = _OUTCOME_COLOURS.get(history.outcome, ORANGE)
    figure.text(
        0.99,
        0.985,
        outcome,
        ha="right",
        va="top",
        fontsize=10,
        color="white",
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "none"},
    )


def _draw_attempts(axes: dict[str, Any], history: TrialHistory) -> None:
    strip = axes["attempts"]
    width = history.last_step or 1.0
    shown = [stretch for stretch in history.stretches() if stretch.last > stretch.first]
    for place, stretch in enumerate(shown):
        span = stretch.last - stretch.first
        strip.barh(0, span, left=stretch.first, height=1, color=("#dbe7f0", "#c3d6e4")[place % 2])
        room = span / width
        text = f"{stretch.number} {stretch.ending}" if room >= _NARROW else f"{stretch.number}"
        if room >= _TINY:
            middle = stretch.first + span / 2
            strip.text(middle, 0, text.strip(), ha="center", va="center", fontsize=7.5, color="#243b53")
        if place:
            for name, axis in axes.items():
                if name != "attempts":
                    axis.axvline(stretch.first, color=PALE, linestyle=(0, (1, 2)), linewidth=1.1, zorder=0.5)
    strip.set_yticks([0], ["attempt"])
    strip.tick_params(length=0, labelbottom=False)
    strip.set_ylim(-0.5, 0.5)
    strip.grid(False)
    for side in ("left", "bottom"):
        strip.spines[side].set_visible(False)


def _learning_rate(axis: Any, history: TrialHistory) -> bool:
    points = history.series("train/learning_rate")
    if axis is not None:
        axis.plot(*zip(*points, strict=True), color=BLUE, linewidth=1.5, marker=marker_of(points))
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(lambda value, _: label(value))
        _name(axis, "learning rate")
    return bool(points)


def _grad_norm(axis: Any, history: TrialHistory) -> bool:
    points = [(step, value) for step, value in history.series("train/grad_norm") if value > 0]
    if axis is not None:
        _noisy(axis, points)
        lowest, highest = min(v for _, v in points), max(v for _, v in points)
        if highest > 20 * lowest:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        _name(axis, "gradient norm before clipping")
    return bool(points)


def _speed(axis: Any, history: TrialHistory) -> bool:
    points = history.series("perf/tokens_per_second")
    if axis is not None:
        _noisy(axis, points)
        ordered = sorted(value for _, value in points)
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _name(axis, f"speed [tokens/s], median {ordered[len(ordered) // 2]:,.0f}")
    return bool(points)


def _gap(axis: Any, history: TrialHistory) -> bool:
    """Validation minus (smoothed) training loss at each evaluation."""
    import numpy as np

    train, evaluated = history.series("train/loss"), history.series("eval/loss")
    evaluated = [point for point in evaluated if train and point[0] >= train[0][0]]
    if len(evaluated) < 2:
        return False
    if axis is not None:
        steps, (calm, _) = [step for step, _ in train], smoothed([value for _, value in train])
        at = [step for step, _ in evaluated]
        gaps = [value - float(np.interp(step, steps, calm)) for step, value in evaluated]
        axis.axhline(0, color=INK, linewidth=0.9)
        axis.fill_between(at, 0, gaps, color=RED, alpha=0.12, linewidth=0)
        axis.plot(at, gaps, color=RED, linewidth=1.4, marker="o", markersize=3)
        axis.set_ylim(*readable_limits([*gaps, 0.0], reach=12))
        _name(axis, f"generalisation gap: validation - training {history.loss_name}")
    return True


def _scores(axis: Any, history: TrialHistory) -> bool:
    """What validation says besides the loss; the metric that decides gets a star at its best."""
    names = list(dict.fromkeys([*([history.metric] if history.metric not in OF_THE_LOSS else []), *_SCORES]))
    found = [(name, points) for name in names if (points := history.series(name))]
    if axis is not None:
        for colour, (name, points) in zip(_SCORE_COLOURS, found, strict=False):
            text = name.removeprefix("eval/").replace("_", " ")
            axis.plot(
                *zip(*points, strict=True), color=colour, linewidth=1.4, marker="o", markersize=3, label=text
            )
            if name == history.metric and (best := history.best()):
                axis.plot(
                    *best, color=colour, marker="*", markersize=12, markeredgecolor="black", linestyle=""
                )
        _name(axis, "validation: " + (text if len(found) == 1 else "scores"))
        if len(found) > 1:
            axis.legend(
                fontsize=7.5, frameon=False, ncols=len(found), loc="lower right", bbox_to_anchor=(1, 1)
            )
    return bool(found)


_SCORES = ("eval/accuracy", "eval/f1", "eval/exact_match", "eval/pearson", "eval/r2")
_SCORE_COLOURS = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY)
_PANELS = {
    "scores": _scores,
    "learning_rate": _learning_rate,
    "grad_norm": _grad_norm,
    "speed": _speed,
    "gap": _gap,
}


def _noisy(axis: Any, points: list[Point]) -> None:
    steps, values = [step for step, _ in points], [value for _, value in points]
    calm, window = smoothed(values)
    if window > 1:
        axis.plot(steps, values, color=SKY, linewidth=0.7, alpha=0.55)
    axis.plot(steps, calm, color=BLUE, linewidth=1.4, marker=marker_of(steps))


def _name(axis: Any, text: str) -> None:
    axis.set_title(text, fontsize=9, loc="left")


def _time(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"


def _amount(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"
