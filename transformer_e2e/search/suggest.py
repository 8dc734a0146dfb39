"""What to try next: the parameters of the next trial, from the spec and the trials issued so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_e2e.errors import ConfigError
from transformer_e2e.search.grid import grid_point
from transformer_e2e.search.observation import Observation
from transformer_e2e.search.random_search import random_point
from transformer_e2e.search.space import Space, space_of
from transformer_e2e.search.spec import normalised, problems

__all__ = ["Observation", "suggest"]


def suggest(config: Mapping[str, Any], trials: Sequence[Observation], *, seed: int) -> dict[str, Any] | None:
    """The parameters of trial number len(trials), nested as in the spec, in plain JSON values with their
    own types.

    `trials` are all ever issued, in the order of issue. None: nothing is left to try - the grid is done,
    run_cap is reached, or a trial has reached metric.target. The same arguments give the same answer in
    every process. grid: the first point not issued. random: depends on `seed` and the number only. bayes:
    see bayes.bayes_point. Raises ConfigError with every problem of a spec that cannot be run.
    """
    ConfigError.raise_if(problems(config), "invalid sweep spec")
    spec = normalised(config)
    if len(trials) >= spec.get("run_cap", len(trials) + 1) or _target_reached(spec.get("metric"), trials):
        return None
    space = space_of(spec)
    values = _next_point(spec, space, trials, seed)
    return None if values is None else space.params(values)


def _next_point(
    spec: Mapping[str, Any], space: Space, trials: Sequence[Observation], seed: int
) -> list[Any] | None:
    if spec["method"] == "grid":
        return grid_point(space, (trial.params for trial in trials))
    if spec["method"] == "random":
        return random_point(space, seed=seed, number=len(trials))
    from transformer_e2e.search.bayes import bayes_point

    return bayes_point(space, trials, goal=spec["metric"]["goal"], seed=seed)


def _target_reached(metric: Mapping[str, Any] | None, trials: Sequence[Observation]) -> bool:
    if metric is None or "target" not in metric:
        return False
    sign = -1.0 if metric["goal"] == "maximize" else 1.0
    return any(trial.value is not None and sign * trial.value <= sign * metric["target"] for trial in trials)
