"""Accuracy, macro F1 and the measures of a regression: worked out by hand, and equal to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from transformer_e2e.metrics.classification import classification, regression


def test_a_case_by_hand():
    # Class 0: 2 right of 2 predicted and 3 true; class 1: 1 of 2 and 1; class 2: 1 of 1 and 1.
    found = classification([0, 0, 1, 1, 2], [0, 0, 0, 1, 2], 3)
    assert found == {"accuracy": 4 / 5, "f1": pytest.approx((4 / 5 + 2 / 3 + 1) / 3)}


def test_a_class_that_occurs_nowhere_does_not_count():
    assert classification([0, 1], [0, 1], 5) == {"accuracy": 1.0, "f1": 1.0}


def test_a_class_that_is_only_predicted_counts():
    assert classification([0, 2], [0, 0], 3)["f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_equals_scikit_learn_on_random_labels():
    from sklearn.metrics import accuracy_score, f1_score

    draw = np.random.default_rng(0)
    for classes in (2, 3, 13):
        truth, guess = draw.integers(classes, size=(2, 50))
        expected = {"accuracy": accuracy_score(truth, guess), "f1": f1_score(truth, guess, average="macro")}
        assert classification(guess, truth, classes) == pytest.approx(expected, abs=1e-12)


def test_a_regression_by_hand():
    found = regression([1.0, 2.0, 3.0], [1.0, 2.0, 6.0])
    assert found == {
        "mse": 3.0,
        "mae": 1.0,
        "pearson": pytest.approx(5 / np.sqrt(2 * 14)),
        "r2": pytest.approx(1 - 9 / 14),
    }


def test_a_regression_equals_scikit_learn_and_numpy():
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    draw = np.random.default_rng(0)
    values = draw.normal(size=40).astype(np.float32)
    guess = values + draw.normal(size=40).astype(np.float32)
    assert regression(guess, values) == pytest.approx(
        {
            "mse": mean_squared_error(values, guess),
            "mae": mean_absolute_error(values, guess),
            "pearson": np.corrcoef(values, guess)[0, 1],
            "r2": r2_score(values, guess),
        },
        rel=1e-6,
    )


@pytest.mark.parametrize(
    ("predicted", "values", "pearson", "r2"),
    [([2, 2, 2], [1, 2, 3], 0.0, 0.0), ([1, 2, 3], [2, 2, 2], 0.0, 0.0), ([2, 2], [2, 2], 0.0, 1.0)],
)
def test_constant_numbers_have_a_finite_measure(predicted, values, pearson, r2):
    found = regression(predicted, values)
    assert (found["pearson"], found["r2"]) == (pearson, r2)


@pytest.mark.parametrize(
    ("predicted", "labels"), [([], []), ([0], [0, 1]), ([[0]], [[0]]), ([0, 3], [0, 1]), ([0, 1], [0, -1])]
)
def test_what_cannot_be_counted_is_refused(predicted, labels):
    with pytest.raises(ValueError):
        classification(predicted, labels, 3)
