"""Promises of the masks: BERT's shares, special tokens left alone, and a function of block and key alone."""

from __future__ import annotations

import numpy as np

from transformer_e2e.data.masking import IGNORED, Masking
from transformer_e2e.data.permutation import uniform

SPECIAL = (0, 1, 2, 3, 4)
MASK = 4
MASKING = Masking(probability=0.15, mask_id=MASK, vocab_size=1000, special_ids=SPECIAL)
LONG = np.random.Generator(np.random.PCG64(1)).integers(5, 1000, 200_000)


def test_the_shares_are_those_of_bert():
    inputs, labels = MASKING(LONG, key=7)
    chosen = labels != IGNORED
    assert np.array_equal(labels[chosen], LONG[chosen])
    assert np.array_equal(inputs[~chosen], LONG[~chosen])
    masked, same = inputs[chosen] == MASK, inputs[chosen] == LONG[chosen]
    shares = [chosen.mean(), masked.mean(), same.mean(), (~masked & ~same).mean()]
    assert np.allclose(shares, [0.15, 0.8, 0.1, 0.1], atol=0.01)
    replaced = inputs[chosen][~masked & ~same]
    assert replaced.min() < 50 and replaced.max() > 950  # of the whole vocabulary


def test_masks_are_a_function_of_block_and_key():
    first, second, other = (MASKING(LONG, key) for key in (3, 3, 4))
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert ((first[1] != IGNORED) != (other[1] != IGNORED)).mean() > 0.2


def test_special_tokens_are_never_chosen():
    block = np.where(np.arange(1000) % 2 == 0, np.arange(1000) % 5, 500)
    for key in range(20):
        inputs, labels = MASKING(block, key)
        assert (labels[::2] == IGNORED).all() and np.array_equal(inputs[::2], block[::2])
        assert (labels[1::2] != IGNORED).any()


def test_every_block_has_a_label_where_one_may_be():
    rare = Masking(probability=1e-9, mask_id=MASK, vocab_size=1000, special_ids=SPECIAL)
    for key in range(50):
        assert (rare(LONG[:8], key)[1] != IGNORED).sum() == 1
    assert (MASKING(np.zeros(8, dtype=np.int64), 1)[1] == IGNORED).all()


def test_uniform_numbers_are_those_of_splitmix64():
    """The first outputs from state 0 as its authors' program prints them."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert uniform(3, key=0).tolist() == [(value >> 11) * 2.0**-53 for value in expected]
    numbers = uniform(100_000, key=2**64 - 1)
    assert abs(numbers.mean() - 0.5) < 0.005 and numbers.min() >= 0 and numbers.max() < 1
