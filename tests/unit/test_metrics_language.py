"""Promises of the language metrics: numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest

from transformer_e2e.metrics.language import bits_per_byte, perplexity, word_perplexity


def test_a_uniform_guess_over_n_tokens_has_perplexity_n():
    assert perplexity(math.log(50257)) == pytest.approx(50257)


def test_a_uniform_guess_over_bytes_costs_8_bits_a_byte():
    assert bits_per_byte(1000 * math.log(256), 1000) == pytest.approx(8)


def test_bits_per_byte_do_not_change_when_the_same_nats_come_in_fewer_tokens():
    assert (
        bits_per_byte(700.0, 300)
        == bits_per_byte(sum([7.0] * 100), 300)
        == bits_per_byte(sum([70.0] * 10), 300)
    )


def test_word_perplexity_of_one_token_a_word_is_the_perplexity():
    assert word_perplexity(10 * 1.25, 10) == perplexity(1.25)


def test_a_diverged_loss_gives_infinity_and_no_crash():
    assert perplexity(1e4) == math.inf
    assert word_perplexity(1e9, 3) == math.inf
    assert math.isnan(perplexity(math.nan))
