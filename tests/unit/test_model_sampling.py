"""Generation: the cache changes nothing but the speed, and each knob does what it says."""

from __future__ import annotations

import pytest
import torch

from transformer_e2e.errors import ConfigError
from transformer_e2e.model.choice import Choice
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.sampling import generate
from transformer_e2e.model.shape import ModelShape

SHAPE = ModelShape(
    vocab_size=50, context_window=16, num_layers=2, num_heads=2, model_dim=32, mlp_dim=64, dropout=0.5
)


@pytest.fixture(scope="module")
def model() -> Decoder:
    torch.manual_seed(0)
    model = Decoder(SHAPE)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # logits as uneven as a trained model's
    return model


@pytest.mark.parametrize("prompt_length", [1, 5, 16, 40])
@pytest.mark.parametrize(
    "knobs", [{"temperature": 0}, {"seed": 3}, {"temperature": 0.7, "top_k": 9, "top_p": 0.9, "seed": 4}]
)
def test_the_cache_gives_the_same_tokens_also_past_the_context_window(model, prompt_length, knobs):
    prompt = [(7 * i) % 50 for i in range(prompt_length)]
    cached = list(generate(model, prompt, max_new_tokens=60, **knobs))
    plain = list(generate(model, prompt, max_new_tokens=60, use_cache=False, **knobs))
    assert cached == plain
    assert len(cached) == 60


def test_past_the_window_only_the_last_three_quarters_are_kept(model):
    """The documented policy, written out: 16 tokens and one more are cut to the last 12."""
    kept, expected = [1], []
    for _ in range(40):
        kept = kept[-12:] if len(kept) > 16 else kept
        with torch.no_grad():
            token = int(model.eval()(torch.tensor([kept]))[0, -1].argmax())
        kept.append(token)
        expected.append(token)
    assert list(generate(model, [1], max_new_tokens=40, temperature=0)) == expected


def test_equal_seeds_give_equal_texts_and_others_differ(model):
    texts = [tuple(generate(model, [1], max_new_tokens=30, seed=seed)) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


def test_top_k_of_one_and_tiny_top_p_are_greedy(model):
    greedy = list(generate(model, [1], max_new_tokens=30, temperature=0))
    assert list(generate(model, [1], max_new_tokens=30, top_k=1)) == greedy
    assert list(generate(model, [1], max_new_tokens=30, top_p=1e-9)) == greedy


def test_the_stop_token_ends_the_text_and_is_not_yielded(model):
    text = list(generate(model, [1], max_new_tokens=30, seed=5))
    stop = text[7]
    assert list(generate(model, [1], max_new_tokens=30, seed=5, stop_id=stop)) == text[: text.index(stop)]


def test_generation_leaves_training_as_it_was(model):
    model.train()
    before = torch.get_rng_state()
    list(generate(model, [1], max_new_tokens=5))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training and all(block.training for block in model.blocks)


def test_tokens_come_one_by_one(model):
    stream = generate(model, [1], max_new_tokens=10**9)
    assert [next(stream) for _ in range(3)] == list(generate(model, [1], max_new_tokens=3))


def test_all_problems_are_reported_at_once_and_before_the_first_token(model):
    with pytest.raises(ConfigError) as error:
        generate(model, [], max_new_tokens=-1, temperature=-0.5, top_k=-2, top_p=0)
    assert [line.split()[1] for line in str(error.value).splitlines()[1:]] == [
        "the",
        "max_new_tokens=-1",
        "temperature=-0.5",
        "top_k=-2",
        "top_p=0",
    ]
    with pytest.raises(ConfigError, match=r"prompt ids must be in \[0, 50\)"):
        generate(model, [50], max_new_tokens=1)


LOGITS_V = torch.tensor([0.1, 0.4, 0.3, 0.2]).log()


@pytest.mark.parametrize(
    "top_k,top_p,expected",
    [
        (0, 1.0, [1, 2, 3, 0]),
        (2, 1.0, [1, 2]),
        (0, 0.39, [1]),
        (0, 0.41, [1, 2]),
        (0, 0.69, [1, 2]),
        (3, 0.99, [1, 2, 3]),
        (99, 1.0, [1, 2, 3, 0]),
    ],
)
def test_top_k_and_top_p_keep_the_likeliest_tokens(top_k, top_p, expected):
    _, kept = Choice(1.0, top_k, top_p, seed=0).chances(LOGITS_V)
    assert kept.tolist() == expected


def test_draws_follow_the_probabilities():
    choice = Choice(1.0, 0, 1.0, seed=0)
    drawn = torch.tensor([choice.of(LOGITS_V) for _ in range(4000)]).bincount(minlength=4) / 4000
    torch.testing.assert_close(drawn, LOGITS_V.exp(), atol=0.03, rtol=0)
