"""Generation: neither the cache nor the company of other texts changes one; each knob does what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.models import with_writers
from transformer_e2e.errors import CheckpointError, ConfigError
from transformer_e2e.model import sampling as sampling_module
from transformer_e2e.model.choice import Noise, Sampling, choose, cuts, penalised
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.sampling import Continuation, Request, generate
from transformer_e2e.model.shape import ModelShape

SHAPE = ModelShape(
    vocab_size=50, context_window=16, num_layers=2, num_heads=2, model_dim=32, mlp_dim=64, dropout=0.5
)
KNOBS = [
    Sampling(temperature=0),
    Sampling(temperature=5),
    Sampling(temperature=0.7, top_k=9, top_p=0.9),
    Sampling(min_p=0.02, repetition_penalty=1.3),
]
EVEN = Sampling(temperature=5)  # many tokens are near to being the next one
PROMPTS = [[(7 * i + n) % 50 for i in range(length)] for n, length in enumerate((1, 5, 16, 40, 2, 9))]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "qk_norm"])
def model(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    model = with_writers(Decoder(replace(SHAPE, qk_norm=request.param)))
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # logits as uneven as a trained model's
    return model


def texts(model: Decoder, prompts: list[list[int]], sampling: Sampling, **options: Any) -> list[list[int]]:
    """Every text of a batch, each with the seed 3."""
    made: list[list[int]] = [[] for _ in prompts]
    requests = [Request(prompt, seed=3) for prompt in prompts]
    for number, token in Continuation(model, requests, sampling, **{"max_new_tokens": 40, **options}):
        if token is not None:
            made[number].append(token)
    return made


@pytest.mark.parametrize("knobs", KNOBS)
def test_neither_cache_nor_company_changes_a_text_also_past_the_context_window(model, knobs):
    alone = [texts(model, [prompt], knobs, use_cache=False)[0] for prompt in PROMPTS]
    assert [len(text) for text in alone] == [40] * len(PROMPTS)
    assert [texts(model, [prompt], knobs)[0] for prompt in PROMPTS] == alone
    assert texts(model, PROMPTS, knobs) == alone
    assert texts(model, PROMPTS[::-1], knobs, batch_size=4) == alone[::-1]


def test_a_choice_within_the_error_of_the_quick_way_is_made_the_plain_way(model, monkeypatch):
    """With logits that are off by a hundredth, the texts are still those of the plain way."""
    plain = texts(model, PROMPTS, EVEN, use_cache=False)

    def off(logits_BV, noise_BV, sampling, error_B):
        if error_B.any():  # the quick way
            size_B1 = 0.01 * logits_BV.abs().amax(-1, keepdim=True)
            logits_BV = logits_BV + size_B1 * torch.randn_like(logits_BV).sign()
        return choose(logits_BV, noise_BV, sampling, error_B)

    monkeypatch.setattr(sampling_module, "choose", off)
    assert texts(model, PROMPTS, EVEN) != plain
    monkeypatch.setattr(sampling_module, "TRUSTED", 0.01)
    assert texts(model, PROMPTS, EVEN) == plain


def test_texts_that_end_early_make_room_and_change_no_other(model):
    whole = texts(model, PROMPTS, Sampling())
    stop = whole[0][7]
    cut = [text[: text.index(stop)] if stop in text else text for text in whole]
    assert texts(model, PROMPTS, Sampling(), stop_id=stop, batch_size=3) == cut
    batch = Continuation(model, [Request(p, 3) for p in PROMPTS], Sampling(), 40, batch_size=3)
    made: list[list[int]] = [[] for _ in PROMPTS]
    for number, token in batch:
        if token is not None:
            made[number].append(token)
        if number % 2 and len(made[number]) == 5:
            batch.end(number)
    assert made == [text[:5] if number % 2 else text for number, text in enumerate(whole)]


def test_every_text_says_when_it_is_over(model):
    batch = Continuation(model, [Request([1]), Request([2])], Sampling(), 3, batch_size=1)
    assert [(number, token is None) for number, token in batch] == [
        (number, over) for number in (0, 1) for over in (False, False, False, True)
    ]
    assert list(Continuation(model, [Request([1])], Sampling(), 0)) == [(0, None)]
    assert list(Continuation(model, [], Sampling(), 5)) == []


def test_past_the_window_only_the_last_three_quarters_are_kept(model):
    """The documented policy, written out: 16 tokens and one more are cut to the last 12."""
    kept, expected = [1], []
    for _ in range(40):
        kept = kept[-12:] if len(kept) > 16 else kept
        with torch.no_grad():
            token = int(model.eval()(torch.tensor([kept]))[0, -1].argmax())
        kept.append(token)
        expected.append(token)
    assert list(generate(model, [1], max_new_tokens=40, sampling=Sampling(temperature=0))) == expected


def test_equal_seeds_give_equal_texts_and_others_differ(model):
    texts = [tuple(generate(model, [1], max_new_tokens=30, seed=seed)) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


def test_top_k_of_one_and_tiny_top_p_are_greedy(model):
    greedy = list(generate(model, [1], max_new_tokens=30, sampling=Sampling(temperature=0)))
    assert list(generate(model, [1], max_new_tokens=30, sampling=Sampling(top_k=1))) == greedy
    assert list(generate(model, [1], max_new_tokens=30, sampling=Sampling(top_p=1e-9))) == greedy


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


def test_equal_requests_give_equal_texts_and_other_samples_others(model):
    requests = [Request([1]), Request([1]), Request([1], sample=1), Request([1], seed=1)]
    made: list[list[int]] = [[] for _ in requests]
    for number, token in Continuation(model, requests, Sampling(), 20):
        if token is not None:
            made[number].append(token)
    assert made[0] == made[1] and len({tuple(text) for text in made}) == 3


def test_all_problems_are_reported_at_once_and_before_the_first_token(model):
    wrong = Sampling(temperature=-0.5, top_k=-2, top_p=0, min_p=2, repetition_penalty=0)
    with pytest.raises(ConfigError) as error:
        generate(model, [], max_new_tokens=-1, sampling=wrong)
    assert [line.split()[1].split("=")[0] for line in str(error.value).splitlines()[1:]] == [
        "the",
        "max_new_tokens",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
    ]
    with pytest.raises(ConfigError, match=r"prompt ids must be in \[0, 50\)"):
        generate(model, [50], max_new_tokens=1)


def test_a_model_that_diverged_is_refused(model):
    broken = Decoder(SHAPE)
    with torch.no_grad():
        broken.embedding.weight[3] = float("nan")
    with pytest.raises(CheckpointError, match="diverged"):
        list(generate(broken, [1], max_new_tokens=2))


LOGITS_V = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64).log()


@pytest.mark.parametrize(
    "knobs,expected",
    [
        ({}, [0, 1, 2, 3]),
        ({"top_k": 2}, [1, 2]),
        ({"top_p": 0.39}, [1]),
        ({"top_p": 0.41}, [1, 2]),
        ({"top_p": 0.69}, [1, 2]),
        ({"top_k": 3, "top_p": 0.99}, [1, 2, 3]),
        ({"top_k": 99}, [0, 1, 2, 3]),
        ({"min_p": 0.4}, [1, 2, 3]),
        ({"min_p": 0.7, "top_p": 0.99}, [1, 2]),
        ({"min_p": 1.0}, [1]),
    ],
)
def test_top_k_top_p_and_min_p_keep_the_likeliest_tokens(knobs, expected):
    scores_1V = LOGITS_V[None] - LOGITS_V.max()
    lowest, _ = cuts(scores_1V, Sampling(**knobs), torch.zeros(1, 1, dtype=torch.float64))
    assert (scores_1V >= lowest)[0].nonzero()[:, 0].tolist() == expected


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_probabilities(temperature):
    noise = Noise(0, [1])
    noise_BV = torch.stack([noise.next(4) for _ in range(4000)])
    drawn, _ = choose(
        LOGITS_V.expand(4000, 4), noise_BV, Sampling(temperature=temperature), torch.zeros(4000).double()
    )
    shares = torch.tensor(drawn).bincount(minlength=4) / 4000
    torch.testing.assert_close(shares.double(), (LOGITS_V / temperature).softmax(0), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    "knobs", [{}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1}, {"top_k": 9, "top_p": 0.7}]
)
def test_a_choice_that_is_called_sure_stands_whatever_the_error(knobs):
    """Random logits, each moved at random by the error that was named: no sure choice may change."""
    torch.manual_seed(1)
    sampling, rows, error = Sampling(temperature=0.8, **knobs), 2000, 0.01
    logits_BV = torch.randn(rows, 30, dtype=torch.float64)
    noise = Noise(0, [1])
    noise_BV = torch.stack([noise.next(30) for _ in range(rows)])
    ids, sure = choose(logits_BV, noise_BV, sampling, torch.full((rows,), error).double())
    assert 0.3 < sum(sure) / rows < 1
    changed = 0
    for _ in range(20):
        moved_BV = logits_BV + error * (2 * torch.rand_like(logits_BV) - 1).sign()
        others, _ = choose(moved_BV, noise_BV, sampling, torch.zeros(rows).double())
        differ = [a != b for a, b in zip(ids, others, strict=True)]
        assert not [1 for wrong, is_sure in zip(differ, sure, strict=True) if wrong and is_sure]
        changed += sum(differ)
    assert changed > 0


def test_the_penalty_lowers_what_was_said_before():
    logits_V = torch.tensor([2.0, -2.0, 1.0])
    assert penalised(logits_V, [0, 1, 0], 2.0).tolist() == [1.0, -4.0, 1.0]
    assert penalised(logits_V, [0], 1.0) is logits_V
