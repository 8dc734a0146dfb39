"""Which settings of a sweep mattered: a guess from its finished trials, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformer_e2e.plots.scale import scale_of

MIN_TRIALS = 8
ROUNDS = 16
_HELD_OUT = 1 / 3  # of the trials, in each round
_SHUFFLES = 8


@dataclass(frozen=True)
class Share:
    """A setting's part of all importance; `low` and `high` enclose 8 of 10 rounds."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """`explained`: part of unseen trials' differences (in rank) that the settings predict, at most 1."""

    shares: dict[str, Share]
    explained: float
    trials: int


def importance(settings: Sequence[Mapping[str, Any]], values: Sequence[float]) -> Importance | None:
    """How much each setting tells about the metric; None with under 8 trials, or if they tell nothing.

    Permutation importance of a random forest (Breiman, Random Forests, 2001, section 10): how much worse it
    predicts when one setting is shuffled. Measured on trials that the forest has not seen, over 16 random
    splits; the spread between the splits is the uncertainty. A ranking, not a measurement.
    """
    names = (
        [name for name in settings[0] if len({repr(row.get(name)) for row in settings}) > 1]
        if settings
        else []
    )
    if len(values) < MIN_TRIALS or not names:
        return None
    import numpy as np

    columns = []
    for name in names:
        column = [row.get(name) for row in settings]
        scale = scale_of(column)
        columns.append([scale.position(value) for value in column])
    inputs = np.array(columns).T  # trees split by order: no need for logs
    # Ranks, so that one bad trial is one rank.
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
    draw = np.random.default_rng(0)
    rounds = [_round(inputs, ranks, draw) for _ in range(ROUNDS)]
    explained = 1 - sum(error for error, _, _ in rounds) / sum(spread for _, spread, _ in rounds)
    drops = np.array([drop for _, _, drop in rounds])
    total = drops.mean(axis=0).clip(0)
    if explained <= 0 or total.sum() <= 0:
        return None
    each = drops.clip(0)
    each = each[each.sum(axis=1) > 0]
    low, high = np.quantile(each / each.sum(axis=1, keepdims=True), [0.1, 0.9], axis=0)
    shares = total / total.sum()
    return Importance(
        {
            name: Share(float(shares[i]), float(min(low[i], shares[i])), float(max(high[i], shares[i])))
            for i, name in enumerate(names)
        },
        float(explained),
        len(values),
    )


def _round(inputs: Any, ranks: Any, draw: Any) -> tuple[float, float, Any]:
    """One split: (squared error on held-out trials, their spread, extra error with each column shuffled)."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    order = draw.permutation(len(ranks))
    cut = max(2, round(_HELD_OUT * len(ranks)))
    held, seen = order[:cut], order[cut:]
    forest = RandomForestRegressor(n_estimators=40, min_samples_leaf=2, random_state=0)
    forest.fit(inputs[seen], ranks[seen])
    copies = [inputs[held]]
    for column in range(inputs.shape[1]):
        for _ in range(_SHUFFLES):
            shuffled = inputs[held].copy()
            # From all trials, not only from the few held out, whose order may hardly change.
            shuffled[:, column] = draw.choice(inputs[:, column], size=cut)
            copies.append(shuffled)
    predicted = forest.predict(np.concatenate(copies)).reshape(len(copies), cut)
    errors = ((predicted - ranks[held]) ** 2).mean(axis=1)
    extra = errors[1:].reshape(inputs.shape[1], _SHUFFLES).mean(axis=1) - errors[0]
    return float(errors[0]), float(((ranks[held] - ranks.mean()) ** 2).mean()), extra
