"""Random search draws what the spec says, in range, of the right type, from seed and number alone."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any

import pytest

from transformer_e2e.search.draws import fraction, shuffled
from transformer_e2e.search.suggest import Observation, suggest


def spec_of(**parameters: Any) -> dict[str, Any]:
    return {"method": "random", "program": "train.py", "parameters": parameters}


def draw(parameter: dict[str, Any], count: int = 400) -> list[Any]:
    """`count` values of one parameter; a continuous companion keeps the space uncountable."""
    spec = spec_of(p=parameter, other={"min": 0.0, "max": 1.0})
    ledger = [Observation({}, "finished")] * count
    found = [suggest(spec, ledger[:number], seed=5) for number in range(count)]
    return [params["p"] for params in found if params is not None]


def test_random_depends_on_seed_and_number_only() -> None:
    spec = spec_of(a={"min": 0.0, "max": 1.0}, b={"values": [1, 2, 3]})
    history = [Observation({"a": 0.1 * i, "b": 1}, "failed" if i % 2 else "finished", i) for i in range(7)]
    fresh = [Observation({}, "pending")] * 7
    assert suggest(spec, history, seed=3) == suggest(spec, fresh, seed=3)
    assert suggest(spec, history, seed=3) != suggest(spec, history, seed=4)
    assert suggest(spec, history, seed=3) != suggest(spec, history[:6], seed=3)


def test_parameters_of_one_range_are_drawn_apart() -> None:
    params = suggest(spec_of(a={"min": 0.0, "max": 1.0}, b={"min": 0.0, "max": 1.0}), [], seed=1)
    assert params is not None and params["a"] != params["b"]


def test_adding_a_parameter_does_not_change_the_draws_of_the_others() -> None:
    one = suggest(spec_of(a={"min": 0.0, "max": 1.0}), [], seed=1)
    two = suggest(spec_of(a={"min": 0.0, "max": 1.0}, b={"value": 2}), [], seed=1)
    assert one is not None and two is not None and one["a"] == two["a"]


@pytest.mark.parametrize(
    ("parameter", "low", "high", "kind", "median"),
    [
        ({"min": 1, "max": 8}, 1, 8, int, None),
        ({"min": 0.5, "max": 1.5}, 0.5, 1.5, float, 1.0),
        ({"min": "1e-5", "max": "1e-4"}, 1e-5, 1e-4, float, 5.5e-5),
        ({"min": 0, "max": 1, "distribution": "uniform"}, 0, 1, float, 0.5),
        ({"min": 0.0, "max": 1.0, "q": 0.25, "distribution": "q_uniform"}, 0, 1, float, None),
        ({"min": 10, "max": 45, "q": 16, "distribution": "q_uniform"}, 16, 32, int, None),
        ({"min": 1e-6, "max": 1e-2, "distribution": "log_uniform_values"}, 1e-6, 1e-2, float, 1e-4),
        (
            {"min": -9, "max": -1, "distribution": "log_uniform"},
            math.exp(-9),
            math.exp(-1),
            float,
            math.exp(-5),
        ),
        (
            {"min": 1, "max": 9, "distribution": "inv_log_uniform"},
            math.exp(-9),
            math.exp(-1),
            float,
            math.exp(-5),
        ),
        ({"min": 0.1, "max": 10, "distribution": "inv_log_uniform_values"}, 0.1, 10, float, 1.0),
        ({"min": 8, "max": 512, "q": 8, "distribution": "q_log_uniform_values"}, 8, 512, int, 64),
        ({"min": 2, "max": 6, "q": 2, "distribution": "q_log_uniform"}, 8, 402, int, None),
        ({"distribution": "normal", "mu": 3, "sigma": "1e-1"}, 2, 4, float, 3.0),
        ({"mu": 3.0, "sigma": 0.1}, 2, 4, float, 3.0),
        ({"distribution": "q_normal", "mu": 0, "sigma": 10, "q": 5}, -60, 60, int, 0),
        ({"distribution": "log_normal", "mu": 0, "sigma": 1}, 0, 500, float, 1.0),
        ({"distribution": "q_log_normal", "mu": 2, "sigma": 1, "q": 0.5}, 0, 4000, float, None),
        ({"distribution": "beta", "a": 2, "b": 2}, 0, 1, float, 0.5),
        ({"distribution": "q_beta", "a": 1, "b": 1, "q": 0.1}, 0, 1, float, None),
    ],
)
def test_draws_stay_in_range_with_their_type(
    parameter: dict[str, Any], low: float, high: float, kind: type, median: float | None
) -> None:
    values = draw(parameter)
    assert all(low <= value <= high for value in values)
    assert {type(value) for value in values} == {kind}
    if median is not None:
        spread = statistics.quantiles(values, n=10)
        assert spread[3] <= median <= spread[5], (median, spread)
    step = parameter.get("q")
    assert step is None or all(abs(value / step - round(value / step)) < 1e-9 for value in values)


def test_probabilities_are_followed_and_impossible_values_never_drawn() -> None:
    values = draw({"values": ["a", "b", "c", "d"], "probabilities": [0.0, "7e-1", 0.3, 0]}, count=1000)
    assert set(values) == {"b", "c"}
    assert 620 < values.count("b") < 780


def test_a_countable_space_is_dealt_like_a_pack() -> None:
    spec = spec_of(a={"values": [1, True, None, "x"]}, b={"min": 1, "max": 3}, c={"value": 0})
    ledger = [Observation({}, "finished")] * 24
    drawn = [json.dumps(suggest(spec, ledger[:number], seed=9)) for number in range(24)]
    assert len(set(drawn[:12])) == len(set(drawn[12:])) == 12
    assert drawn[:12] != drawn[12:]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 65, 1000])
def test_shuffled_is_a_permutation(size: int) -> None:
    assert sorted(shuffled(place, size, 1) for place in range(size)) == list(range(size))


def test_fraction_is_pinned() -> None:
    """A changed draw would change every published sweep; this number may never change."""
    assert fraction(1, 0, ("lr",)) == 0.47881014289546453
