"""The picture of a trial: what is made of a journal and a ledger, and that odd ones break nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from transformer_e2e.plots import trial
from transformer_e2e.plots.history import Stretch, TrialHistory
from transformer_e2e.plots.smooth import smoothed
from transformer_e2e.plots.trial import plot_trial

PNG = b"\x89PNG\r\n\x1a\n"


def row(step: int, time: float = 0.0, **metrics: float) -> dict[str, Any]:
    named = {name.replace("_", "/", 1): value for name, value in metrics.items()}
    return {"step": step, "time": time, "metrics": named}


def line(event: str, attempt: int, time: float, **facts: Any) -> dict[str, Any]:
    moment = datetime.fromtimestamp(time, UTC).isoformat()
    return {"event": event, "attempt": attempt, "time": moment, **facts}


def history(rows: list[dict[str, Any]], **facts: Any) -> TrialHistory:
    return TrialHistory(run_id="single_bs4-0123456789ab", rows=rows, **facts)


# Attempt 1 logs steps 1 to 4 and is killed; 2 repeats some and logs 5 and 6, then SIGTERM; 3 dies before
# it logs anything; 4 finishes.
KILLED = history(
    [row(n, time=100 + n, train_loss=3 / n) for n in range(1, 5)]
    + [row(n, time=200 + n, train_loss=3 / n) for n in (5, 6)]
    + [row(n, time=400 + n, train_loss=3 / n) for n in (7, 8)],
    attempts=[
        line("start", 1, 100),
        line("start", 2, 200),
        line("end", 2, 210, outcome="terminated"),
        line("start", 3, 300),
        line("start", 4, 400),
        line("end", 4, 420, outcome="finished"),
    ],
    outcome="finished",
)


def test_attempts_are_told_apart_by_the_times_of_their_rows() -> None:
    assert KILLED.stretches() == [
        Stretch(1, 0, 4, "killed"),
        Stretch(2, 4, 6, "terminated"),
        Stretch(3, 6, 6, "killed"),
        Stretch(4, 6, 8, ""),
    ]
    assert KILLED.seconds() == 4 + 10 + 0 + 20


def test_the_best_evaluation_is_the_earlier_of_equals_by_the_goal() -> None:
    rows = [row(n, eval_f1=value) for n, value in enumerate((0.1, 0.7, math.nan, 0.7, 0.2))]
    assert history(rows, metric="eval/f1", goal="maximize").best() == (1, 0.7)
    assert history(rows).best() is None


@pytest.mark.parametrize("length", [1, 23, 24, 1000])
def test_a_smoothed_line_keeps_length_and_straight_lines(length: int) -> None:
    values = [float(n) for n in range(length)]
    calm, window = smoothed(values)
    assert len(calm) == length and (window == 1) == (length < 24)
    assert calm[: length - window] == pytest.approx(values[: length - window])


LONG = [
    row(
        n,
        time=100 + n,
        train_loss=5 / n**0.2,
        eval_loss=5 / n**0.2 + 0.1,
        eval_bits_per_byte=2 / n**0.2,
        train_grad_norm=math.exp(n % 7),
        train_learning_rate=1e-3,
        perf_tokens_per_second=1e4,
    )
    for n in range(1, 2001)
]


@pytest.mark.parametrize(
    "drawn",
    [
        KILLED,
        history(LONG, outcome="early_stopped", yardsticks={"gzip": 2.0, "xz": 1.01, "bigram": 1.0}),
        history([row(n, train_loss=10.0 ** max(3, n)) for n in range(40)], outcome="diverged"),
        history([row(5, train_loss=2.0)]),
        history([row(5, eval_loss=2.0), row(10, eval_loss=2.0)]),
        history([row(0), row(1, train_loss=math.inf), row(2, train_loss=1.0, train_grad_norm=0.0)]),
        history(LONG[:50], attempts=[line("start", n, 99 + n) for n in range(50)]),
        history(LONG[:9], attempts=[{"event": "start"}, {"event": "end"}, {"event": "start"}]),
    ],
    ids=[
        "killed",
        "long",
        "diverged",
        "one row",
        "no training loss",
        "odd rows",
        "50 attempts",
        "bare ledger",
    ],
)
def test_every_history_with_a_loss_becomes_a_picture(tmp_path: Path, drawn: TrialHistory) -> None:
    path = tmp_path / "new" / "trial.png"
    assert plot_trial(drawn, path) == path
    assert path.read_bytes().startswith(PNG)
    assert [found.name for found in path.parent.iterdir()] == ["trial.png"]  # no draft stays behind


@pytest.mark.parametrize("rows", [[], [row(1, train_loss=math.nan)], [row(1, perf_tokens_per_second=1.0)]])
def test_a_trial_that_logged_no_loss_gets_no_picture(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assert plot_trial(history(rows), tmp_path / "no.png") is None
    assert not list(tmp_path.iterdir())


def drawn_axes(drawn: TrialHistory, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The axes of its picture, by title; the main one is "loss"."""
    figures: list[Any] = []
    monkeypatch.setattr(trial, "write", lambda figure, path: figures.append(figure))
    plot_trial(drawn, Path("unused"))
    (figure,) = figures
    figure.canvas.draw()
    return {axis.get_title(loc="left") or "loss": axis for axis in figure.axes}


CLASSES = history(
    [row(n, train_loss=0.7, perf_tokens_per_second=9.0) for n in (1, 2, 3)]
    + [row(4, train_loss=0.2, eval_loss=0.69, eval_accuracy=0.5, eval_f1=0.3, train_learning_rate=1e-3)]
    + [row(5, train_loss=0.9, eval_loss=0.7, eval_accuracy=0.6, eval_f1=0.2)],
    metric="eval/accuracy",
    goal="maximize",
    unit="",
)


def test_a_loss_of_examples_is_not_called_one_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn_axes(CLASSES, monkeypatch)["loss"].get_ylabel() == "loss"
    assert drawn_axes(KILLED, monkeypatch)["loss"].get_ylabel() == "loss [nats/token]"


def test_scores_have_a_panel_and_the_deciding_one_a_star(monkeypatch: pytest.MonkeyPatch) -> None:
    axis = drawn_axes(CLASSES, monkeypatch)["validation: scores"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["accuracy", "f1"]
    stars = [line for line in axis.get_lines() if line.get_marker() == "*"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in stars] == [(5, 0.6)]
    assert "validation: scores" not in drawn_axes(KILLED, monkeypatch)


def test_a_short_training_is_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn_axes(CLASSES, monkeypatch)
    low, high = axes["loss"].get_ylim()
    assert low < 0.2 and high > 0.9
    ticks = [text.get_text() for text in axes["loss"].get_xticklabels()]
    assert len(ticks) == len(set(ticks)), ticks
    (line,) = axes["learning rate"].get_lines()
    assert line.get_marker() == "o"  # a line through one point is not seen
