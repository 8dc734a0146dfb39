"""Hyperband stops the trials that its docstring says, and no other."""

from __future__ import annotations

import math
from typing import Any

import pytest

from transformer_e2e.search.hyperband import Curve, brackets, to_stop


def spec_of(goal: str = "minimize", **rule: Any) -> dict[str, Any]:
    return {
        "method": "random",
        "metric": {"name": "eval/loss", "goal": goal},
        "early_terminate": {"type": "hyperband", **rule},
        "parameters": {"a": {"min": 0.0, "max": 1.0}},
    }


def running(name: str, *values: float) -> Curve:
    return Curve(name, "running", values)


@pytest.mark.parametrize(
    ("rule", "longest", "expected"),
    [
        ({"min_iter": 3}, 100, [3, 9, 27, 81]),
        ({"min_iter": 3}, 2, []),
        ({"min_iter": 3}, 9, [3, 9]),
        ({"min_iter": 1, "eta": 1.5}, 6, [1, 2, 3, 5]),
        ({"max_iter": 27, "s": 2}, 100, [3, 9]),
        ({"max_iter": "27", "s": 9, "eta": "3"}, 100, [1, 3, 9]),
        ({"max_iter": 10, "s": 2, "eta": 3, "min_iter": 7}, 100, [1, 3]),
    ],
)
def test_brackets(rule: dict[str, Any], longest: int, expected: list[int]) -> None:
    assert brackets(spec_of(**rule), longest) == expected


def test_the_worked_example_of_the_docstring() -> None:
    curves = [
        Curve("a", "finished", [10, 9, 8, 8, 8, 7]),
        running("b", 10, 8),
        running("c", 10, 10),
        running("d", 10),
    ]
    assert to_stop(spec_of(min_iter=2, eta=3), curves) == ["c"]
    assert to_stop(spec_of(min_iter=2, eta=2), curves[1:3]) == []


def test_maximize_turns_the_order_round() -> None:
    curves = [running("a", 0.9), running("b", 0.5), running("c", 0.1)]
    assert to_stop(spec_of("maximize", min_iter=1, eta=3), curves) == ["c"]
    assert to_stop(spec_of("minimize", min_iter=1, eta=3), curves) == ["a"]


def test_strict_judges_the_value_at_the_bracket_and_lenient_the_best_so_far() -> None:
    curves = [Curve("x", "finished", [5, 1]), Curve("y", "killed", [5, 1]), running("z", 0.5, 9)]
    assert to_stop(spec_of(min_iter=2), curves) == ["z"]
    assert to_stop(spec_of(min_iter=2, strict=False), curves) == []


def test_what_comes_after_the_last_bracket_reached_is_not_judged() -> None:
    curves = [Curve("x", "finished", [5, 3, 3]), Curve("y", "killed", [5, 2, 2]), running("z", 5, 1, 99)]
    assert to_stop(spec_of(min_iter=2), curves) == []
    assert to_stop(spec_of(min_iter=3), curves) == ["z"]


def test_a_diverged_trial_is_stopped_and_equal_ones_are_not() -> None:
    curves = [running("a", 1.0), running("b", 1.0), running("c", math.nan), running("d", math.inf)]
    assert to_stop(spec_of(min_iter=1), curves) == ["c", "d"]
    assert to_stop(spec_of(min_iter=1), [running("a", math.nan), running("b", math.nan)]) == []


@pytest.mark.parametrize("state", ["pending", "finished", "failed", "crashed", "killed", "preempted"])
def test_only_running_trials_are_stopped_but_all_set_the_threshold(state: str) -> None:
    good = [Curve(str(i), state, [1.0]) for i in range(3)]
    bad = Curve("bad", state, [2.0])
    assert to_stop(spec_of(min_iter=1), [*good, bad]) == []
    assert to_stop(spec_of(min_iter=1), [*good, running("bad", 2.0)]) == ["bad"]


def test_the_first_trial_and_an_empty_sweep_are_left_alone() -> None:
    assert to_stop(spec_of(min_iter=1), []) == []
    assert to_stop(spec_of(min_iter=1), [running("a", 9.0), running("b")]) == []


def test_without_early_terminate_nothing_is_stopped() -> None:
    spec = spec_of(min_iter=1)
    del spec["early_terminate"]
    assert to_stop(spec, [running("a", 1), running("b", 9), running("c", 99)]) == []
