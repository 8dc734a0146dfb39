"""Grid search issues every point of the product once, whatever the values are, and ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transformer_e2e.search.size import point_count
from transformer_e2e.search.suggest import Observation, suggest


def grid(**parameters: Any) -> dict[str, Any]:
    return {"method": "grid", "program": "train.py", "parameters": parameters}


def issue_all(spec: dict[str, Any], limit: int = 1000) -> list[dict[str, Any]]:
    """Every suggestion until the search ends; the ledger passes through JSON as it does in the server."""
    trials: list[Observation] = []
    while (params := suggest(spec, trials, seed=0)) is not None:
        assert len(trials) < limit
        trials.append(Observation(json.loads(json.dumps(params)), "finished", 1.0))
    return [dict(trial.params) for trial in trials]


def test_grid_enumerates_the_product_once_with_the_last_name_changing_fastest() -> None:
    spec = grid(b={"values": ["x", "y"]}, a={"values": [3, 1]}, c={"value": 7})
    assert issue_all(spec) == [
        {"a": 3, "b": "x", "c": 7},
        {"a": 3, "b": "y", "c": 7},
        {"a": 1, "b": "x", "c": 7},
        {"a": 1, "b": "y", "c": 7},
    ]


def test_grid_order_does_not_depend_on_the_order_of_keys() -> None:
    one = grid(a={"values": [1, 2]}, b={"values": [3, 4]})
    other = grid(b={"values": [3, 4]}, a={"values": [1, 2]})
    assert issue_all(one) == issue_all(other)


def test_grid_keeps_values_of_every_type_apart_and_unchanged() -> None:
    values = [1, 1.0, True, "1", 0, False, None, [1, 2], [1.0, 2], {"k": [None, {"z": 1, "a": 2}]}, "", 1e300]
    issued = [params["a"] for params in issue_all(grid(a={"values": values}))]
    assert [json.dumps(value) for value in issued] == [json.dumps(value) for value in values]
    assert [type(value) for value in issued] == [type(value) for value in values]


def test_grid_opens_nested_parameters_and_steps() -> None:
    spec = grid(
        optimizer={
            "parameters": {"lr": {"values": [0.1, 0.2]}, "inner": {"parameters": {"n": {"min": 1, "max": 3}}}}
        },
        dropout={"distribution": "q_uniform", "min": 0.0, "max": 0.3, "q": 0.1},
        width={"distribution": "q_log_uniform_values", "min": 30, "max": 70, "q": 32},
    )
    issued = issue_all(spec)
    assert len(issued) == point_count(spec) == 4 * 3 * 2 * 2
    assert len({json.dumps(params) for params in issued}) == len(issued)
    assert {params["dropout"] for params in issued} == {0.0, 0.1, 0.2, 0.3}
    assert {params["width"] for params in issued} == {32, 64}
    assert issued[0] == {"dropout": 0.0, "optimizer": {"inner": {"n": 1}, "lr": 0.1}, "width": 32}


def test_grid_fills_the_first_gap_and_counts_failed_and_live_points_as_issued() -> None:
    spec = grid(a={"values": [1, 2, 3, 4]})
    ledger = [Observation({"a": 1}, "failed"), Observation({"a": 3}, "pending")]
    assert suggest(spec, ledger, seed=0) == {"a": 2}


def test_grid_ignores_points_of_an_older_spec() -> None:
    ledger = [Observation({"a": 99}, "finished", 1.0), Observation({"other": 1}, "finished", 1.0)]
    assert suggest(grid(a={"values": [1, 2]}), ledger, seed=0) == {"a": 1}


def test_a_value_listed_twice_is_tried_once() -> None:
    assert issue_all(grid(a={"values": [8, 8, 16, 1e-3, 0.001]})) == [{"a": 8}, {"a": 16}, {"a": 0.001}]


def test_a_grid_of_a_billion_points_answers_at_once() -> None:
    spec = grid(a={"min": 1, "max": 10**9}, b={"min": 0, "max": 999})
    assert point_count(spec) == 10**12
    assert suggest(spec, [Observation({"a": 1, "b": i}, "finished") for i in range(1000)], seed=0) == {
        "a": 2,
        "b": 0,
    }


def test_run_cap_ends_every_search() -> None:
    spec = grid(a={"values": [1, 2, 3]}) | {"run_cap": 2}
    assert issue_all(spec) == [{"a": 1}, {"a": 2}]
    assert point_count(spec) == 2
    assert point_count(spec | {"method": "random"}) == 2


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_without_run_cap_only_a_grid_ends(method: str) -> None:
    spec = grid(a={"values": [1, 2]}) | {"method": method, "metric": {"name": "loss"}}
    assert point_count(spec) is None
    assert suggest(spec, [Observation({"a": i}, "finished", 0.5) for i in (1, 2)], seed=0) in (
        {"a": 1},
        {"a": 2},
    )
