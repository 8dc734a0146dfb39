"""Promises of the data order: a pure function of (seed, step) in which an epoch visits each window once."""

from __future__ import annotations

import numpy as np
import pytest

from transformer_e2e.data.batches import IGNORED, batch_at, validation_windows, windows_per_epoch
from transformer_e2e.data.permutation import permuted

TOKENS = np.arange(1000, dtype=np.uint16)  # a token is its own position, so a batch shows where it was cut


def batch(
    step: int, *, seed: int = 1, size: int = 4, window: int = 7, tokens: np.ndarray = TOKENS
) -> np.ndarray:
    return batch_at(tokens, seed=seed, step=step, batch_size=size, context_window=window)


def test_a_batch_depends_on_nothing_but_its_arguments():
    forwards = [batch(step) for step in range(200)]
    for step in reversed(range(200)):
        assert (batch(step) == forwards[step]).all()


def test_these_batches_are_the_same_on_every_machine_and_with_every_numpy():
    assert batch(0, size=2, window=3).tolist() == [[207, 208, 209, 210], [447, 448, 449, 450]]


def test_batches_are_int64_rows_of_consecutive_tokens_from_the_map():
    found = batch(3, size=5, window=7)
    assert found.dtype == np.int64
    assert found.shape == (5, 8)
    assert (np.diff(found, axis=1) == 1).all()


@pytest.mark.parametrize("window", [1, 2, 7, 128, 499, 998, 999])
def test_an_epoch_visits_each_window_once_and_no_target_twice(window):
    count = windows_per_epoch(len(TOKENS), window)
    for epoch in range(3):
        rows = np.concatenate([batch(epoch * count + i, size=1, window=window) for i in range(count)])
        targets = rows[:, 1:].ravel()
        assert len(set(targets.tolist())) == count * window
        assert (rows[:, 0] % window == rows[0, 0] % window).all()  # one offset an epoch, so neighbours touch


def test_batches_that_cross_the_end_of_an_epoch_lose_and_repeat_nothing():
    count = windows_per_epoch(len(TOKENS), 7)
    assert count % 4, "the epoch must end inside a batch, or this test shows nothing"
    crossing = np.concatenate([batch(step) for step in range(count)])  # exactly four epochs
    alone = np.concatenate([batch(step, size=1) for step in range(4 * count)])
    assert (crossing == alone).all()


def test_a_batch_larger_than_several_epochs_is_the_same_rows():
    tokens = TOKENS[:30]  # three windows an epoch
    assert windows_per_epoch(30, 7) == 3
    alone = np.concatenate([batch(step, size=1, tokens=tokens) for step in range(20)])
    assert (batch(0, size=20, tokens=tokens) == alone).all()


def test_over_many_epochs_every_token_but_the_first_becomes_a_target():
    seen = {int(token) for step in range(2000) for token in batch(step)[:, 1:].ravel()}
    assert seen == set(range(1, 1000))


def test_another_seed_and_another_epoch_give_another_order():
    count = windows_per_epoch(len(TOKENS), 7)
    first = [batch(step, size=1)[0, 0] for step in range(count)]
    assert first != [batch(step, size=1, seed=2)[0, 0] for step in range(count)]
    assert first != [batch(step + count, size=1)[0, 0] for step in range(count)]


def test_micro_batches_of_accumulation_are_the_rows_of_one_larger_batch():
    parts = np.concatenate([batch(5 * 2 + i, size=4) for i in range(2)])
    assert (parts == batch(5, size=8)).all()


def test_the_shortest_text_that_holds_a_window_gives_that_window_always():
    for step in range(5):
        assert batch(step, size=3, window=9, tokens=TOKENS[:10]).tolist() == [list(range(10))] * 3


def test_a_text_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="hold no window"):
        batch(0, window=10, tokens=TOKENS[:10])


def test_a_batch_costs_the_same_however_long_the_text_is():
    tokens = np.broadcast_to(np.uint16(7), (10**12,))  # 2 TB, if anything went through all of it
    assert (batch(3, size=16, window=128, tokens=tokens) == 7).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 100, 4711])
def test_a_permutation_holds_every_value_once(count):
    assert sorted(permuted(np.arange(count), count=count, key=12).tolist()) == list(range(count))


def test_permutations_of_few_things_are_spread_evenly_enough():
    firsts = np.bincount([int(permuted(np.arange(1), count=10, key=key)[0]) for key in range(3000)])
    assert firsts.min() > 200 and firsts.max() < 400  # 300 expected, standard deviation 16


@pytest.mark.parametrize("length", [8, 9, 15, 16, 17, 1000])
def test_validation_windows_make_each_token_but_the_first_a_target_once(length):
    windows = validation_windows(TOKENS[:length], 7)
    targets = windows[:, 1:]
    assert targets[targets != IGNORED].tolist() == list(range(1, length))
    assert (windows[1:, 0] == windows[:-1, -1]).all()
    assert windows[0, 0] == 0
    inputs = windows[:, :-1]
    assert (inputs[targets != IGNORED] + 1 == targets[targets != IGNORED]).all()
