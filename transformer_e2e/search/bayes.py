"""Bayesian search: a Gaussian process over the trials so far, on Optuna.

GPSampler (Matern 5/2 kernel, log expected improvement; with trials running its expectation over their
outcomes, q-LogEI, https://arxiv.org/abs/2310.20708) up to GP_LIMIT values, then the tree-structured Parzen
estimator, whose cost grows slowly. Torch, scipy and Optuna are imported at the first call: 2 s and 300 MB.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_e2e.search.coordinates import Coordinate, coordinate_of
from transformer_e2e.search.draws import bits
from transformer_e2e.search.fresh import free_point
from transformer_e2e.search.observation import BROKEN, LIVE, Observation
from transformer_e2e.search.random_search import spread_point
from transformer_e2e.search.space import Space

if TYPE_CHECKING:
    import optuna

STARTUP = 8  # values seen before the model is asked; until then the points are spread over the space
GP_LIMIT = 300  # values beyond which the Gaussian process takes more than half a second a suggestion

CLIP = 3.0  # losses above the median by more than CLIP times its distance to the best are cut there

Encoded = dict[str, Any]  # one trial's parameters as Optuna knows them


def bayes_point(space: Space, trials: Sequence[Observation], *, goal: str, seed: int) -> list[Any]:
    """The point of trial number len(trials), a pure function of the arguments.

    What a trial tells the model: a finite value counts in every state that has ended. Failed or crashed
    without a value, and a value that is not finite, count as the worst value seen, for the setting may be
    the reason (out of memory, divergence). Pending, running and preempted trials are points whose value is
    still to come, whatever they have logged, so that suggestions made at the same time differ. Killed
    without a value tells nothing, nor do parameters outside the space (its spec was changed). Where the
    points can be counted, none is issued again while another is left.
    """
    number = len(trials)
    coordinates = {str(i): coordinate_of(axis) for i, axis in enumerate(space.axes) if axis.count != 1}
    history = _history(space, coordinates, trials, goal)
    if len(history.losses) < STARTUP or not coordinates:
        values = spread_point(space, seed=seed, number=number)
    else:
        asked = _ask(coordinates, history, bits(seed, number) % 2**32)
        values = [
            coordinates[str(i)].decode(asked[str(i)]) if str(i) in coordinates else axis.at(0.0)
            for i, axis in enumerate(space.axes)
        ]
    return free_point(space, values, [trial.params for trial in trials], seed)


@dataclass(frozen=True)
class History:
    """Ended trials with their losses (finite, lower is better), and live trials without."""

    ended: list[Encoded]
    losses: list[float]
    live: list[Encoded]


def _history(
    space: Space, coordinates: Mapping[str, Coordinate], trials: Sequence[Observation], goal: str
) -> History:
    sign = -1.0 if goal == "maximize" else 1.0
    ended: list[Encoded] = []
    losses: list[float] = []
    live: list[Encoded] = []
    for trial in trials:
        encoded = _encoded(space, coordinates, trial.params)
        if encoded is None:
            continue
        if trial.state in LIVE:
            live.append(encoded)
        elif trial.value is not None:
            ended.append(encoded)
            losses.append(sign * trial.value if math.isfinite(trial.value) else math.inf)
        elif trial.state in BROKEN:
            ended.append(encoded)
            losses.append(math.inf)
    finite = [loss for loss in losses if loss < math.inf]
    if not finite:
        return History([], [], live)
    ceiling = _ceiling(finite)
    return History(ended, [min(loss, ceiling) for loss in losses], live)


def _ceiling(losses: Sequence[float]) -> float:
    """The worst loss the model is shown.

    Diverged trials may end at 10 where good ones differ by 0.01; the model would see little but that step.
    Measured on benchmarks/search_quality.py with 10 for diverged, 20 trials: 0.24 to 0.25 without, 0.21 to
    0.22 with it.
    """
    median = statistics.median(losses)
    clipped = median + CLIP * (median - min(losses))
    return min(max(losses), clipped) if clipped > median else max(losses)


def _encoded(
    space: Space, coordinates: Mapping[str, Coordinate], params: Mapping[str, Any]
) -> Encoded | None:
    values = space.values(params)
    if values is None:
        return None
    encoded = {name: coordinate.encode(values[int(name)]) for name, coordinate in coordinates.items()}
    return None if None in encoded.values() else encoded


def _ask(coordinates: Mapping[str, Coordinate], history: History, seed: int) -> Encoded:
    import optuna

    distributions = {name: coordinate.distribution() for name, coordinate in coordinates.items()}
    done, running = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING
    with _quiet_and_single_threaded():
        study = optuna.create_study(direction="minimize", sampler=_sampler(len(history.losses), seed))
        for params, loss in zip(history.ended, history.losses, strict=True):
            study.add_trial(
                optuna.trial.create_trial(state=done, params=params, distributions=distributions, value=loss)
            )
        for params in history.live:
            study.add_trial(
                optuna.trial.create_trial(state=running, params=params, distributions=distributions)
            )
        return study.ask(distributions).params


def _sampler(count: int, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if count <= GP_LIMIT:
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=1)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)


@contextmanager
def _quiet_and_single_threaded() -> Iterator[None]:
    """No notes on experimental options; one thread, for the order of additions decides the last bits."""
    import optuna
    import torch

    verbosity, threads = optuna.logging.get_verbosity(), torch.get_num_threads()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        optuna.logging.set_verbosity(verbosity)
