"""How the next token is chosen from its logits, and when that choice can be trusted.

A token is drawn by adding noise of the Gumbel distribution to the logits and taking the highest sum, which
is a draw from their softmax (Gumbel 1954; Maddison et al. 2014, section 2, https://arxiv.org/abs/1411.0030).
The noise is a pure function of (seed, prompt, number of the sample, position, token).

Logits of one text differ in their last bits with the way they were computed: alone or beside others, with a
cache or without one. `choose` therefore says whether logits that are off by a given error could have led
to another token. Shape letters: B batch, V vocab_size, K candidates.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SMALLEST = 1e-300  # the logarithm of 0 would be infinite


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What is left of the model's distribution, in this order: penalty, temperature, top-k, then top-p and
    min-p of what top-k left. Tokens that are as likely as the last one left in stay, too."""

    temperature: float = 1.0  # 0: always the likeliest token
    top_k: int = 0  # 0: all tokens
    # The smallest set of likeliest tokens with this mass: Holtzman et al. 2019, section 3.1,
    # https://arxiv.org/abs/1904.09751
    top_p: float = 1.0
    # Tokens at least this share as likely as the likeliest: Nguyen et al. 2024, section 3,
    # https://arxiv.org/abs/2407.01082
    min_p: float = 0.0
    # Divides the positive logits of tokens already in the context, multiplies the negative ones: Keskar et
    # al. 2019, section 4.1, https://arxiv.org/abs/1909.05858
    repetition_penalty: float = 1.0

    def problems(self) -> list[str]:
        """Every rule that is broken, one sentence each."""
        rules = (
            (self.temperature >= 0, f"temperature={self.temperature} must be at least 0 (0: the likeliest)"),
            (self.top_k >= 0, f"top_k={self.top_k} must be at least 0 (0: all tokens)"),
            (0 < self.top_p <= 1, f"top_p={self.top_p} must be greater than 0 and at most 1"),
            (0 <= self.min_p <= 1, f"min_p={self.min_p} must be in [0, 1]"),
            (self.repetition_penalty > 0, f"repetition_penalty={self.repetition_penalty} must be above 0"),
        )
        return [text for holds, text in rules if not holds]


class Noise:
    """The Gumbel noise of one text, one vector a token, from a generator of its own."""

    def __init__(self, seed: int, prompt_ids: Sequence[int], sample: int = 0) -> None:
        key = f"{seed} {sample} {' '.join(map(str, prompt_ids))}"
        digest = hashlib.sha256(key.encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def next(self, vocab_size: int) -> Tensor:
        """noise_V of the next token, in fp64 on the CPU."""
        uniform_V = torch.rand(vocab_size, generator=self._generator, dtype=torch.float64)
        return uniform_V.clamp_(min=_SMALLEST).log_().neg_().log_().neg_()


def penalised(logits_V: Tensor, context: Sequence[int], penalty: float) -> Tensor:
    """The logits after the repetition penalty for the tokens in `context`."""
    if penalty == 1:
        return logits_V
    seen = torch.tensor(sorted(set(context)), device=logits_V.device)
    values = logits_V[seen]
    return logits_V.index_copy(0, seen, torch.where(values > 0, values / penalty, values * penalty))


def choose(
    logits_BV: Tensor, noise_BV: Tensor | None, sampling: Sampling, error_B: Tensor
) -> tuple[list[int], list[bool]]:
    """The chosen id of each row, and whether it is sure: whether every logits that differ from these by at
    most error_B (>= 0, absolute) give the same id. With an error of 0 the id is the rule's own.

    `noise_BV` is None where temperature is 0. All in fp64 on the CPU.
    """
    temperature = sampling.temperature or 1.0
    scores_BV = (logits_BV - logits_BV.amax(-1, keepdim=True)) / temperature
    slack_B1 = 2 * error_B[:, None] / temperature  # two scores can come this much nearer to each other
    sums_BV = scores_BV
    if noise_BV is not None:
        lowest_B1, dropped_B1 = cuts(scores_BV, sampling, slack_B1)
        sums_BV = (scores_BV + noise_BV).masked_fill(scores_BV < lowest_B1, -math.inf)
    best_B2, ids_B2 = sums_BV.topk(min(2, sums_BV.shape[1]), dim=-1)
    ids_B1 = ids_B2[:, :1]
    sure_B1 = best_B2[:, :1] - best_B2[:, -1:] > slack_B1
    if noise_BV is not None:
        sure_B1 &= scores_BV.gather(-1, ids_B1) > dropped_B1
    return ids_B1[:, 0].tolist(), sure_B1[:, 0].tolist()


def cuts(scores_BV: Tensor, sampling: Sampling, slack_B1: Tensor) -> tuple[Tensor, Tensor]:
    """(lowest_B1, dropped_B1): tokens below the first score are out, tokens above the second one are in,
    whichever way scores and masses change by the slack. Without slack the first one alone tells all."""
    vocab_size = scores_BV.shape[1]
    kept = min(sampling.top_k or vocab_size, vocab_size)
    ranked_BK = scores_BV.topk(min(kept + 1, vocab_size), dim=-1).values
    candidates_BK = ranked_BK[:, :kept]
    most_B1 = least_B1 = torch.full_like(slack_B1, kept, dtype=torch.int64)
    if sampling.top_p < 1:
        chances_BK = candidates_BK.softmax(-1)
        before_BK = chances_BK.cumsum(-1) - chances_BK
        most_B1 = (before_BK < sampling.top_p + slack_B1).sum(-1, keepdim=True)
        least_B1 = (before_BK < sampling.top_p - slack_B1).sum(-1, keepdim=True)
    if sampling.min_p > 0:
        floor = math.log(sampling.min_p)
        most_B1 = most_B1.minimum((candidates_BK >= floor - slack_B1).sum(-1, keepdim=True))
        least_B1 = least_B1.minimum((candidates_BK >= floor + slack_B1).sum(-1, keepdim=True))
    none_left = torch.full_like(ranked_BK[:, :1], -math.inf)
    lowest_B1 = ranked_BK.gather(-1, most_B1.clamp(min=1) - 1) - slack_B1
    dropped_B1 = torch.cat([ranked_BK, none_left], -1).gather(-1, least_B1.clamp(min=1)) + slack_B1
    return lowest_B1, dropped_B1
