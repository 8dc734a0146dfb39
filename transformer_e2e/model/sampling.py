"""Continuing a text, one token at a time.

Past the context window the oldest tokens are forgotten: once the kept tokens outgrow the window they
are cut to their last KEPT_SHARE of it, and the cache is computed anew for those. The model so never sees
a position or a length that it was not trained on, and a cache changes speed alone, never the tokens. A cut
costs one short forward pass every quarter window. (The alternative, dropping one cached position a token,
would leave in the cache keys that were computed from tokens outside the window.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from transformer_e2e.errors import ConfigError
from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.choice import Choice
from transformer_e2e.model.decoder import Decoder

KEPT_SHARE = 3 / 4


def generate(
    model: Decoder,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    use_cache: bool = True,
    stop_id: int | None = None,
) -> Iterator[int]:
    """Yield at most `max_new_tokens` ids after the prompt, each as soon as it is known; the prompt is not
    repeated, and `stop_id` ends the text without being yielded.

    temperature 0 takes the likeliest token; top_k 0 and top_p 1 leave all tokens in. A generator of its
    own is seeded with `seed`, so training's generators are left alone. Of a prompt longer than the
    context window its last context_window tokens count. The model is put in evaluation mode while a
    token is computed. Raises ConfigError at once, before the first token, listing all problems.
    """
    vocab_size = model.shape.vocab_size
    problems = [
        text
        for wrong, text in (
            (len(prompt_ids) == 0, "the prompt is empty; at least one token is needed"),
            (
                any(not 0 <= token < vocab_size for token in prompt_ids),
                f"prompt ids must be in [0, {vocab_size})",
            ),
            (max_new_tokens < 0, f"max_new_tokens={max_new_tokens} must be at least 0"),
            (not temperature >= 0, f"temperature={temperature} must be at least 0 (0: the likeliest token)"),
            (top_k < 0, f"top_k={top_k} must be at least 0 (0: all tokens)"),
            (not 0 < top_p <= 1, f"top_p={top_p} must be greater than 0 and at most 1"),
        )
        if wrong
    ]
    ConfigError.raise_if(problems, title="cannot generate")
    choice = Choice(temperature, top_k, top_p, seed)
    return continuation(model, list(prompt_ids), max_new_tokens, choice, use_cache, stop_id)


def continuation(
    model: Decoder, ids: list[int], count: int, choice: Choice, use_cache: bool, stop_id: int | None
) -> Iterator[int]:
    window = model.shape.context_window
    kept = ids[-window:]
    cache = KeyValueCache(model.shape, device=model.embedding.weight.device) if use_cache else None
    for _ in range(count):
        if len(kept) > window:
            kept = kept[-max(1, int(window * KEPT_SHARE)) :]
            if cache:
                cache.reset()
        token = choice.of(next_logits(model, kept, cache))
        if token == stop_id:
            return
        kept.append(token)
        yield token


@torch.no_grad()
def next_logits(model: Decoder, ids: Sequence[int], cache: KeyValueCache | None) -> Tensor:
    """logits_V of the token after `ids`; with a cache only the ids that it lacks are computed."""
    training = model.training
    model.eval()
    new = ids[cache.length :] if cache else ids
    ids_BT = torch.tensor([list(new)], device=model.embedding.weight.device)
    last_D = model.hidden(ids_BT, cache)[0, -1]
    model.train(training)
    return last_D @ model.embedding.weight.T
