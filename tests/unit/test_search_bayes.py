"""Bayesian search: repeatable in every process, in range, apart from what runs, better than chance."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transformer_e2e.search import bayes
from transformer_e2e.search.suggest import Observation, suggest

ROOT = Path(__file__).parents[2]
PARAMETERS: dict[str, Any] = {
    "lr": {"distribution": "log_uniform_values", "min": "1e-5", "max": "1e-1"},
    "model": {"parameters": {"width": {"values": [64, 16, 32, 128]}, "kind": {"values": ["a", True, None]}}},
    "layers": {"min": 1, "max": 6},
    "seed": {"value": 1},
}
SPEC: dict[str, Any] = {
    "method": "bayes",
    "program": "train.py",
    "metric": {"name": "eval/loss"},
    "parameters": PARAMETERS,
}
DISCRETE: dict[str, Any] = SPEC | {
    "parameters": {"a": {"values": [1, 2, 3, 4]}, "b": {"values": ["x", "y", True]}}
}


def loss(params: Any) -> float:
    return (
        (math.log10(params["lr"]) + 3) ** 2
        + 0.1 * abs(params["layers"] - 4)
        + params["model"]["width"] / 1000
    )


def history(count: int, spec: dict[str, Any] = SPEC) -> list[Observation]:
    """`count` ended trials at random points, with the values of a simple bowl."""
    ledger: list[Observation] = []
    for _ in range(count):
        params = suggest(spec | {"method": "random"}, ledger, seed=11)
        assert params is not None
        value = loss(params) if "lr" in params else float(params["a"])
        ledger.append(Observation(params, "finished", value))
    return ledger


def check(params: Any) -> None:
    assert params is not None
    assert list(params) == ["layers", "lr", "model", "seed"]
    assert type(params["layers"]) is int and 1 <= params["layers"] <= 6
    assert type(params["lr"]) is float and 1e-5 <= params["lr"] <= 1e-1
    assert type(params["model"]["width"]) is int and params["model"]["width"] in (16, 32, 64, 128)
    kind = params["model"]["kind"]
    assert kind == "a" or kind is True or kind is None
    assert json.loads(json.dumps(params)) == params


def ask_process(ledger: list[Observation], threads: str, hash_seed: str) -> dict[str, Any]:
    trials = [{"params": trial.params, "state": trial.state, "value": trial.value} for trial in ledger]
    done = subprocess.run(
        [sys.executable, "-m", "transformer_e2e.search"],
        input=json.dumps({"config": SPEC, "trials": trials, "seed": 7}) + "\n",
        env=os.environ | {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return json.loads(done.stdout)["params"]


def test_same_seed_and_history_give_the_same_suggestion_in_every_process() -> None:
    ledger = [*history(12), Observation(history(13)[12].params, "running")]
    here = suggest(SPEC, ledger, seed=7)
    check(here)
    assert ask_process(ledger, threads="2", hash_seed="1") == here
    assert suggest(SPEC, ledger, seed=8) != here


def test_suggestions_made_at_the_same_time_differ() -> None:
    ledger = history(12)
    for _ in range(3):
        params = suggest(SPEC, ledger, seed=7)
        check(params)
        assert params is not None and params not in [trial.params for trial in ledger]
        ledger.append(Observation(params, "pending"))
    rates = [math.log10(trial.params["lr"]) for trial in ledger[12:]]
    assert len({round(rate, 3) for rate in rates}) == 3


def test_the_model_finds_the_bowl_that_chance_does_not() -> None:
    ledger = history(10)
    for _ in range(8):
        params = suggest(SPEC, ledger, seed=1)
        assert params is not None
        ledger.append(Observation(params, "finished", loss(params)))
    chance = min(loss(trial.params) for trial in history(18))
    assert min(loss(trial.params) for trial in ledger[10:]) < chance
    assert abs(math.log10(ledger[-1].params["lr"]) + 3) < 0.3


@pytest.mark.parametrize(
    "broken", [("failed", None), ("crashed", None), ("finished", math.nan), ("killed", math.inf)]
)
def test_a_broken_trial_counts_as_the_worst_value_seen(broken: tuple[str, float | None]) -> None:
    ledger = history(10)
    worst = max(trial.value or 0.0 for trial in ledger)
    extra = history(11)[10].params
    counted = suggest(SPEC, [*ledger, Observation(extra, "finished", worst)], seed=2)
    assert suggest(SPEC, [*ledger, Observation(extra, *broken)], seed=2) == counted
    assert suggest(SPEC, [*ledger, Observation(extra, "killed")], seed=2) != counted


def test_a_diverged_value_does_not_blind_the_model() -> None:
    """Where some trials end at 1000, the bowl between the others is still found."""
    ledger = [
        Observation(trial.params, "finished", 1000.0) if trial.params["lr"] > 2e-2 else trial
        for trial in history(16)
    ]
    params = suggest(SPEC, ledger, seed=2)
    assert params is not None and abs(math.log10(params["lr"]) + 3) < 0.5


def test_maximize_is_minimize_of_the_negative() -> None:
    ledger = history(10)
    up = SPEC | {"metric": {"name": "f1", "goal": "maximize"}}
    negative = [Observation(t.params, t.state, -(t.value or 0.0)) for t in ledger]
    assert suggest(up, negative, seed=1) == suggest(SPEC, ledger, seed=1)


@pytest.mark.parametrize(
    "ledger",
    [
        [Observation({}, "failed")] * 12,
        [Observation({"lr": 7.0, "layers": 99}, "finished", 1.0)] * 12,
        [Observation(trial.params, "killed") for trial in history(12)],
        [Observation(trial.params, "crashed") for trial in history(12)],
        [Observation(trial.params, "finished", math.nan) for trial in history(12)],
        [Observation(trial.params, "finished", 1.0) for trial in history(12)],
        [Observation(trial.params, "finished", 1e300) for trial in history(12)],
        [Observation(history(1)[0].params, "finished", 0.1)] * 12,
    ],
    ids=["failed", "foreign", "killed", "crashed", "nan", "equal", "huge", "same point"],
)
def test_odd_histories_still_give_a_point_of_the_space(ledger: list[Observation]) -> None:
    check(suggest(SPEC, ledger, seed=1))


def test_no_point_is_issued_twice_while_another_is_left() -> None:
    ledger: list[Observation] = []
    for number in range(12):
        params = suggest(DISCRETE, ledger, seed=3)
        assert params is not None
        ledger.append(Observation(params, "finished", abs(params["a"] - 2) + (params["b"] == "y")))
        assert len({json.dumps(trial.params) for trial in ledger}) == number + 1
    again = suggest(DISCRETE, ledger, seed=3)
    assert again in [trial.params for trial in ledger]


def test_beyond_the_limit_the_parzen_estimator_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bayes, "GP_LIMIT", 20)
    ledger = [*history(30), Observation(history(31)[30].params, "running")]
    params = suggest(SPEC, ledger, seed=1)
    check(params)
    assert params == suggest(SPEC, ledger, seed=1)


def test_unbounded_and_wide_parameters_are_modelled() -> None:
    parameters = {
        "n": {"distribution": "normal", "mu": 0, "sigma": 2},
        "q": {"distribution": "q_log_normal", "mu": 3, "sigma": 1, "q": 4},
        "steps": {"min": 1, "max": 10**9},
        "warm": {"distribution": "q_log_uniform_values", "min": 10, "max": 10000, "q": 10},
        "beta": {"distribution": "beta", "a": 2, "b": 5},
    }
    spec = SPEC | {"parameters": parameters}
    ledger: list[Observation] = []
    for _ in range(10):
        params = suggest(spec, ledger, seed=4)
        assert params is not None
        assert [type(params[name]) for name in sorted(params)] == [float, float, int, int, int]
        assert 1 <= params["steps"] <= 10**9 and 10 <= params["warm"] <= 10000 and params["warm"] % 10 == 0
        assert params["q"] % 4 == 0 and 0 <= params["beta"] <= 1
        ledger.append(Observation(params, "finished", params["n"] ** 2))


def test_a_reached_target_ends_the_search() -> None:
    spec = SPEC | {"metric": {"name": "loss", "goal": "minimize", "target": "1e-1"}}
    params = history(1)[0].params
    assert suggest(spec, [Observation(params, "running", 0.2)], seed=1) is not None
    assert suggest(spec, [Observation(params, "running", 0.05)], seed=1) is None
    assert suggest(spec, [Observation(params, "running", math.nan)], seed=1) is not None
