"""A sweep spec: misread numbers are numbers, and every mistake is told at once with a way out."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest
import yaml

from transformer_e2e.errors import ConfigError
from transformer_e2e.search.size import point_count
from transformer_e2e.search.spec import normalised, problems, warnings
from transformer_e2e.search.suggest import suggest

GOOD: dict[str, Any] = {
    "method": "random",
    "program": "train.py",
    "metric": {"name": "eval/loss", "goal": "minimize"},
    "parameters": {"lr": {"min": 0.1, "max": 1.0}},
}


def with_parameter(method: str = "random", **parameter: Any) -> dict[str, Any]:
    return GOOD | {"method": method, "parameters": {"lr": parameter}}


def test_a_spec_with_numbers_that_yaml_reads_as_text_samples_numbers() -> None:
    spec = yaml.safe_load(
        """
        method: random
        program: train.py
        run_cap: 1e1
        metric: {name: loss, target: 1e-2}
        early_terminate: {type: hyperband, min_iter: "3", eta: 2e0}
        parameters:
          lr: {min: 1e-5, max: 1e-4}
          explicit: {distribution: log_uniform_values, min: 1e-5, max: 1E-1}
          listed: {values: [1e-5, 5e3, bert, "16", "0.1", 1e, e5, 1e999]}
          inner: {parameters: {eps: {value: 1e-8}, betas: {values: [[9e-1, 95e-2], [0.9, 1e0]]}}}
          n: {distribution: q_normal, mu: 1e0, sigma: 1e-1, q: 5e-1}
        """
    )
    before = copy.deepcopy(spec)
    clean = normalised(spec)
    assert spec == before
    assert isinstance(spec["parameters"]["lr"]["min"], str)  # or YAML has changed and this test is moot
    parameters = clean["parameters"]
    assert parameters["lr"] == {"min": 1e-5, "max": 1e-4, "distribution": "uniform"}
    assert parameters["explicit"]["max"] == 0.1
    assert parameters["listed"]["values"] == [1e-5, 5e3, "bert", "16", "0.1", "1e", "e5", "1e999"]
    assert parameters["inner"]["parameters"]["eps"] == {"value": 1e-8, "distribution": "constant"}
    assert parameters["inner"]["parameters"]["betas"]["values"] == [[0.9, 0.95], [0.9, 1.0]]
    assert parameters["n"] == {"distribution": "q_normal", "mu": 1.0, "sigma": 0.1, "q": 0.5}
    assert clean["run_cap"] == 10 and type(clean["run_cap"]) is int
    assert clean["metric"] == {"name": "loss", "goal": "minimize", "target": 0.01}
    assert clean["early_terminate"] == {"type": "hyperband", "min_iter": 3, "eta": 2.0, "strict": True}
    assert normalised(clean) == clean
    assert problems(spec) == [] and point_count(spec) == 10
    params = suggest(spec, [], seed=1)
    assert params is not None and 1e-5 <= params["lr"] <= 1e-4


@pytest.mark.parametrize(
    ("parameter", "distribution"),
    [
        ({"value": 3}, "constant"),
        ({"value": None}, "constant"),
        ({"values": [1]}, "categorical"),
        ({"min": 1, "max": 3}, "int_uniform"),
        ({"min": 1.0, "max": 3}, "uniform"),
        ({"min": "1", "max": "3"}, "int_uniform"),
        ({"min": 1, "max": 3, "q": 2}, "q_uniform"),
        ({"mu": 1, "sigma": 3}, "normal"),
        ({"min": 1, "max": 3, "distribution": None}, "int_uniform"),
    ],
)
def test_a_distribution_left_out_is_inferred(parameter: dict[str, Any], distribution: str) -> None:
    assert normalised(with_parameter(**parameter))["parameters"]["lr"]["distribution"] == distribution
    assert problems(with_parameter(**parameter)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "gird"}, "did you mean grid?"),
        ({"method": None}, "method is missing; give one of grid, random, bayes"),
        ({"method": ["grid"]}, "does not exist"),
        ({"method": "bayes", "metric": None}, "method bayes needs one"),
        (
            {"metric": None, "early_terminate": {"type": "hyperband", "min_iter": 1}},
            "early_terminate needs one",
        ),
        ({"metric": "loss"}, "{name: loss, goal: minimize}"),
        ({"metric": {"goal": "minimize"}}, "name is missing"),
        ({"metric": {"name": "loss "}}, "use 'loss'"),
        ({"metric": {"name": "loss", "goal": "minimise"}}, "did you mean minimize?"),
        ({"metric": {"name": "loss", "target": "low"}}, "target 'low' must be a finite number"),
        ({"early_terminate": {"type": "hyperband"}}, "needs min_iter, or max_iter and s"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 9}}, "max_iter needs s"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 1}}, "at least eta=3"),
        ({"early_terminate": {"type": "hyperban", "min_iter": 1}}, "must be hyperband"),
        ({"early_terminate": {"min_iter": 1}}, "must be hyperband"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "min_iter=0 must be a whole number"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "greater than 1"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": "no"}}, "true or false"),
        ({"early_terminate": "hyperband"}, "{type: hyperband, min_iter: 3}"),
        ({"run_cap": 0}, "run_cap=0 must be a whole number of at least 1"),
        ({"run_cap": 2.5}, "run_cap=2.5"),
        ({"run_cap": True}, "run_cap=True"),
        ({"seed": "x"}, "seed='x' must be a whole number"),
        ({"command": "python train.py"}, "list of words"),
        ({"command": ["${program}"], "program": None}, "program is missing"),
        ({"program": 3}, "path of a script"),
        ({"parameters": {}}, "parameters is missing or empty"),
        ({"parameters": ["lr"]}, "parameters is ['lr']"),
        ({"parameters": {"a b": {"value": 1}}}, "the name 'a b'"),
        ({"parameters": {True: {"value": 1}}}, "the name True"),
        ({"parameters": {"g": {"parameters": {}}}}, "at least one parameter"),
    ],
)
def test_each_mistake_of_the_spec_is_told(change: dict[str, Any], said: str) -> None:
    found = problems(GOOD | change)
    assert len(found) == 1 and said in found[0], found


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({}, "give value, values, or min and max"),
        ({"vlaues": [1]}, "did you mean values?"),
        ({"min": 1}, "give value, values, or min and max"),
        ({"min": 1, "distribution": "uniform"}, "needs max"),
        ({"distribution": "log_uniform_value", "min": 1, "max": 2}, "did you mean log_uniform_values?"),
        ({"min": 2, "max": 1}, "did you swap them?"),
        ({"min": 2.0, "max": 2.0}, "write value: 2.0"),
        ({"min": 0, "max": 1, "distribution": "log_uniform_values"}, "for example 0.001"),
        ({"min": 1, "max": 1000, "distribution": "log_uniform"}, "use distribution: log_uniform_values"),
        ({"min": "low", "max": 1}, "min must be a finite number, not 'low'"),
        ({"min": True, "max": 5}, "min must be a finite number, not True"),
        ({"min": 0.0, "max": float("inf")}, "max must be a finite number, not inf"),
        ({"min": 1.5, "max": 3, "distribution": "int_uniform"}, "must be a whole number"),
        ({"values": []}, "values is empty"),
        ({"values": 3}, "write values: [3]"),
        ({"value": 1, "values": [1]}, "keep one"),
        ({"values": [1, 2], "probabilities": [1]}, "a list of 2 numbers"),
        ({"values": [1, 2], "probabilities": [-1, 2]}, "at least 0"),
        ({"values": [1, 2], "probabilities": [0, 0]}, "one of them above 0"),
        ({"values": [date(2026, 1, 1)]}, "write '2026-01-01' in quotes"),
        ({"value": {1: 2}}, "write '1' in quotes"),
        ({"distribution": "q_uniform", "min": 5, "max": 7, "q": 4}, "no multiple of q=4"),
        ({"distribution": "q_uniform", "min": 5, "max": 7, "q": 0}, "q=0 must be greater than 0"),
        ({"distribution": "normal", "mu": 0, "sigma": 0}, "sigma=0 must be greater than 0"),
        ({"distribution": "log_normal", "mu": 800, "sigma": 1}, "at most 700"),
        ({"distribution": "beta", "a": -1}, "a=-1 must be greater than 0"),
        ({"distribution": 3}, "distribution 3 does not exist"),
    ],
)
def test_each_mistake_of_a_parameter_is_told(parameter: dict[str, Any], said: str) -> None:
    found = problems(with_parameter(**parameter))
    assert len(found) == 1 and said in found[0] and "parameter lr" in found[0], found


@pytest.mark.parametrize("bare", [0.1, [1, 2], None, "x"])
def test_a_bare_value_is_told_how_to_be_written(bare: Any) -> None:
    (found,) = problems(GOOD | {"parameters": {"lr": bare}})
    assert ("{values: [1, 2]}" if isinstance(bare, list) else f"{{value: {bare!r}}}") in found


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({"min": 0.1, "max": 1.0}, "distribution: q_uniform with q:"),
        ({"distribution": "log_uniform_values", "min": 0.1, "max": 1.0}, "q_log_uniform_values"),
        ({"distribution": "inv_log_uniform", "min": 0.1, "max": 1.0}, "list some values:"),
        ({"distribution": "normal"}, "list some values:"),
        ({"distribution": "q_normal"}, "list some values:"),
    ],
)
def test_a_grid_refuses_what_cannot_be_enumerated(parameter: dict[str, Any], said: str) -> None:
    found = problems(with_parameter("grid", **parameter))
    assert len(found) == 1 and "a grid cannot enumerate" in found[0] and said in found[0], found
    assert problems(with_parameter("random", **parameter)) == []


def test_every_problem_is_told_at_once_and_suggest_refuses_with_them() -> None:
    spec = {
        "method": "baye",
        "metric": {"goal": "minimise"},
        "run_cap": -1,
        "early_terminate": {"type": "hyperband"},
        "parameters": {"a": {"min": 2, "max": 1}, "g": {"parameters": {"b": {"values": []}, "c": 3}}},
    }
    found = problems(spec)
    assert len(found) == 8
    assert any("parameter g.b" in problem for problem in found)
    with pytest.raises(ConfigError) as refusal:
        suggest(spec, [], seed=1)
    assert all(problem in str(refusal.value) for problem in found)
    with pytest.raises(ConfigError):
        point_count(spec)


@pytest.mark.parametrize("odd", [None, [], "x", 3, {"parameters": {"a": {"parameters": 3}}}, {"metric": [1]}])
def test_no_input_however_odd_raises(odd: Any) -> None:
    assert problems(odd)
    assert isinstance(warnings(odd), list)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run_count": 3}, "'run_count' is not known and has no effect"),
        ({"parameter": {}}, "did you mean parameters?"),
        ({"values": [1]}, "it belongs below a parameter"),
        ({"metric": {"name": "loss", "gaol": "maximize"}}, "did you mean goal?"),
        ({"metric": {"name": "loss", "impute": "best"}}, "counts as the worst"),
        ({"early_terminate": {"type": "hyperband", "min_iters": 1, "min_iter": 1}}, "did you mean min_iter?"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "s": 2}}, "with min_iter it is not used"),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "max_iter": 9, "s": 2}},
            "min_iter is not used",
        ),
        ({"program": None}, "only wandb.agent(function=...)"),
        (
            {"parameters": {"a": {"min": 1, "max": 9, "distribution": "int_uniform", "q": 2}}},
            "'q' is not used",
        ),
        (
            {"parameters": {"a": {"min": 0.1, "max": 9.0, "distribution": "uniform", "q": 2}}},
            "mean distribution: q_un",
        ),
        (
            {"parameters": {"a": {"min": 1e-5, "max": 1e-1, "distribution": "log_uniform"}}},
            "log_uniform_values",
        ),
        ({"parameters": {"a": {"values": [1, 1]}}}, "twice"),
        ({"parameters": {"a": {"values": [1, 2], "probabilities": [1, 2]}}}, "used as weights"),
        (
            {"parameters": {"g": {"value": 1, "parameters": {"a": {"value": 1}}}}},
            "parameter g: 'value' beside",
        ),
    ],
)
def test_what_is_odd_but_runs_is_a_warning(change: dict[str, Any], said: str) -> None:
    assert problems(GOOD | change) == []
    found = warnings(GOOD | change)
    assert len(found) == 1 and said in found[0], found


def test_a_good_spec_gives_no_warning() -> None:
    parameters = {
        "lr": {"distribution": "log_uniform", "min": -9.0, "max": -2},
        "n": {"values": [1, 1.0, True]},
    }
    assert warnings(GOOD | {"parameters": parameters, "name": "x", "seed": 3, "run_cap": 4}) == []
