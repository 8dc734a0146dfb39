"""What a sweep's progress looks like in a log."""

from __future__ import annotations

import pytest

from transformer_e2e.launch import screen
from transformer_e2e.launch.screen import LINE_SECONDS, LivePanel, PlainLines
from transformer_e2e.launch.trials import TrialRow, progress


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(screen, "time", clock)
    return clock


def rows(done: int, value: float) -> list[TrialRow]:
    return [TrialRow(run=str(n), run_id=f"t{n}", outcome="finished", value=value) for n in range(done)]


def show(lines: PlainLines | LivePanel, trials: list[TrialRow]) -> None:
    lines.show(progress(trials, total=9, agents=1, goal="minimize", now=0.0), trials)


def test_a_log_gets_a_line_when_a_trial_ends_or_something_changed_a_while_ago(clock: Clock, capsys):
    lines = PlainLines("eval/loss")
    for seconds, done, value, spoken in (
        (0.0, 1, 3.0, True),
        (1.0, 1, 2.9, False),  # a change, but too soon
        (1.0, 2, 2.9, True),  # a trial ended
        (LINE_SECONDS, 2, 2.9, False),  # nothing changed
        (1.0, 2, 2.8, True),
    ):
        clock.now += seconds
        show(lines, rows(done, value))
        assert bool(capsys.readouterr().out) == spoken, (seconds, done, value)


def test_the_panel_shows_the_best_trials_and_says_how_to_stop(monkeypatch: pytest.MonkeyPatch):
    from rich.console import Console

    panel, drawn = LivePanel("eval/loss", "minimize"), []
    monkeypatch.setattr(panel._live, "update", drawn.append)
    show(panel, rows(3, 2.5))
    console = Console(width=100)
    with console.capture() as capture:
        console.print(drawn[0])
    assert "3/9" in capture.get() and "t0" in capture.get() and "Ctrl-C" in capture.get()
