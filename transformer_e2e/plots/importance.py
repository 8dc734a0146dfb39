"""Which settings of a sweep mattered: a guess from its finished trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_e2e.plots.scale import scale_of

MIN_TRIALS = 8


def importance(settings: Sequence[Mapping[str, Any]], values: Sequence[float]) -> dict[str, float] | None:
    """Share of each setting in the metric's variation, summing to 1; None with under 8 trials or no signal.

    Permutation importance of a random forest (Breiman, Random Forests, 2001, section 10): how much worse
    its out-of-bag prediction becomes when one setting is shuffled. A ranking, not a measurement.
    """
    if len(values) < MIN_TRIALS:
        return None
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    names = [name for name in settings[0] if len({repr(row.get(name)) for row in settings}) > 1]
    if not names:
        return None
    columns = []
    for name in names:
        column = [row.get(name) for row in settings]
        scale = scale_of(column)
        columns.append([scale.position(value) for value in column])
    inputs = np.array(columns).T  # trees split by order: no need for logs
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(
        float
    )  # one bad trial is one rank
    forest = RandomForestRegressor(n_estimators=100, min_samples_leaf=2, random_state=0).fit(inputs, ranks)
    drops = permutation_importance(forest, inputs, ranks, n_repeats=20, random_state=0).importances_mean.clip(
        0
    )
    total = float(drops.sum())
    return {name: float(drop) / total for name, drop in zip(names, drops, strict=True)} if total > 0 else None
