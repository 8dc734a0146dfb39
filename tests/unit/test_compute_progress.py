"""What stands for the progress bar in a log file."""

from __future__ import annotations

import pytest

from transformer_e2e.compute import progress
from transformer_e2e.compute.progress import Progress, TrainingProgress


def told(step: int, max_steps: int = 100) -> Progress:
    return Progress(step, max_steps, loss=2.0, best_loss=1.5, tokens_per_second=10.0)


def test_the_time_left_goes_by_the_steps_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step compiles, or fills caches; and it is over before anything can be said."""
    lines: list[str] = []
    clock = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    show = TrainingProgress(lines.append)
    show(told(41))
    clock += 20.0
    show(told(51))
    clock += 98.0
    show(told(100))
    assert lines[0] == "step 41/100  loss 2.0000  best eval 1.5000  10 tokens/s"
    assert lines[1].endswith("  1:38 left") and lines[2].endswith("  0:00 left")


def test_a_training_of_one_step_has_nothing_left() -> None:
    lines: list[str] = []
    TrainingProgress(lines.append)(told(1, max_steps=1))
    assert lines[0].endswith("0:00 left")
