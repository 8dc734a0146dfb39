"""The learning rate at chosen steps, exactly."""

from __future__ import annotations

import math

import pytest

from transformer_e2e.config.settings import SCHEDULES, TrainSettings
from transformer_e2e.trainer.schedule import learning_rate_at


def rates(schedule: str, steps: list[int], **changes: float) -> list[float]:
    values = {"learning_rate": 1.0, "max_steps": 100, "warmup_steps": 20, "min_lr_ratio": 0.0} | changes
    settings = TrainSettings(schedule=schedule, **values)
    return [learning_rate_at(step, settings) for step in steps]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_in_equal_steps_and_its_last_update_has_the_peak(schedule):
    assert rates(schedule, [0, 1, 9, 19, 20]) == [0.05, 0.1, 0.5, 1.0, 1.0]


def test_no_warm_up_starts_at_the_peak():
    assert rates("linear", [0, 50], warmup_steps=0) == [1.0, 0.5]


def test_a_run_of_nothing_but_warm_up():
    assert rates("cosine", [99], warmup_steps=100) == [1.0]


def test_cosine_is_at_half_in_the_middle_and_ends_above_its_floor():
    eighth = math.cos(math.pi / 4)
    assert rates("cosine", [40, 60, 80]) == pytest.approx(
        [0.5 * (1 + eighth), 0.5, 0.5 * (1 - eighth)], abs=1e-15
    )
    assert rates("cosine", [100], min_lr_ratio=0.1) == [pytest.approx(0.1, abs=1e-15)]
    assert rates("cosine", [99])[0] > 0


def test_linear_falls_in_equal_steps_to_the_floor():
    assert rates("linear", [20, 40, 60, 100]) == [1.0, 0.75, 0.5, 0.0]
    assert rates("linear", [60, 100], min_lr_ratio=0.5) == [0.75, 0.5]


def test_constant_stays():
    assert rates("constant", [20, 60, 99], learning_rate=3e-4) == [3e-4, 3e-4, 3e-4]


def test_wsd_holds_the_peak_then_falls_in_its_last_share():
    assert rates("wsd", [20, 59, 60, 70, 80, 90, 100], decay_fraction=0.4) == [1, 1, 1, 0.75, 0.5, 0.25, 0]


def test_wsd_decay_never_reaches_into_the_warm_up():
    assert rates("wsd", [19, 20, 60], decay_fraction=1.0) == [1.0, 1.0, 0.5]
