"""Numbers that say how well labels or values were predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def classification(predicted: ArrayLike, labels: ArrayLike, num_labels: int) -> dict[str, float]:
    """{"accuracy", "f1"}, 0 to 1, of class numbers in [0, num_labels), 1-D.

    F1 is the macro one: the mean over the classes that occur in the labels or the predictions. Raises
    ValueError for no examples, different lengths, or a number outside the range.
    """
    ours, theirs = _pair(predicted, labels, "labels")
    for name, numbers in (("predicted", ours), ("labels", theirs)):
        if numbers.min() < 0 or numbers.max() >= num_labels:
            raise ValueError(f"{name} must be class numbers from 0 to {num_labels - 1}")
    right = np.bincount(theirs[ours == theirs], minlength=num_labels)
    # A class's F1 is 2 right / (predicted + true), so the denominator is 0 where it does not occur.
    found = np.bincount(ours, minlength=num_labels) + np.bincount(theirs, minlength=num_labels)
    occurs = found > 0
    return {
        "accuracy": float(np.mean(ours == theirs)),
        "f1": float(np.mean(2 * right[occurs] / found[occurs])),
    }


def regression(predicted: ArrayLike, values: ArrayLike) -> dict[str, float]:
    """{"mse", "mae", "pearson", "r2"} of two 1-D arrays of numbers.

    "pearson" is 0 where one of them is constant, which correlates with nothing; "r2" of constant `values` is
    1 if all are met and else 0. Raises ValueError for no examples or different lengths.
    """
    ours, theirs = _pair(predicted, values, "values")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    error = ours - theirs
    squares = float(error @ error)
    centred, target = ours - ours.mean(), theirs - theirs.mean()
    spread, total = float(centred @ centred), float(target @ target)
    return {
        "mse": squares / len(error),
        "mae": float(np.abs(error).mean()),
        "pearson": float(centred @ target / np.sqrt(spread * total)) if spread > 0 and total > 0 else 0.0,
        "r2": 1 - squares / total if total > 0 else float(squares == 0),
    }


def _pair(predicted: ArrayLike, truth: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    ours, theirs = np.asarray(predicted), np.asarray(truth)
    if ours.ndim != 1 or ours.shape != theirs.shape or not len(ours):
        raise ValueError(f"predicted and {name} must be two equally long lists of at least one number")
    return ours, theirs
