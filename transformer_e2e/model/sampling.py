"""Continuing texts, one token at a time, several texts in one batch.

What a text becomes is defined by the plainest way: all its tokens through the model, alone, in fp32. The
quick way (a cache, many texts in one pass) is used where it cannot change that: its logits differ in the
last bits only, and where a difference of TRUSTED could turn a choice, the logits of that one token are
computed the plain way. So a text is the same with and without a cache, alone and beside others.

Past the context window the oldest tokens are forgotten: once the kept tokens outgrow the window they
are cut to their last KEPT_SHARE of it, and the cache is computed anew for those. The model so never sees
a position or a length that it was not trained on. A cut costs one short forward pass every quarter window.
(The alternative, dropping one cached position a token, would leave in the cache keys that were computed from
tokens outside the window.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from transformer_e2e.errors import CheckpointError, ConfigError
from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.choice import Noise, Sampling, choose, penalised
from transformer_e2e.model.decoder import Decoder

KEPT_SHARE = 3 / 4
# Error of the quick way's logits, as a share of the largest of them. Measured on a CPU: up to 2.5e-6
# (4 layers, widths of 128 and 256, every position of a window of 128).
TRUSTED = 1e-4


@dataclass(frozen=True)
class Request:
    """One text to continue. Equal requests give equal texts; another `sample` gives another one."""

    prompt_ids: Sequence[int]
    seed: int = 0
    sample: int = 0


@dataclass
class _Row:
    """A text in the making."""

    number: int  # of its request
    ids: list[int]  # what the model sees of it
    noise: Noise
    made: int = 0
    cached: bool = False  # the cache holds all of `ids` but the last


@dataclass
class Continuation:
    """Iterating yields (number of the request, next id), or (number, None) when that text is over: after
    `max_new_tokens`, or at `stop_id`, which is not yielded. Prompts are not repeated.

    At most `batch_size` texts are in the making at a time, and the next one begins where one ends. Of a
    prompt longer than the context window its last context_window tokens count. The model is put in
    evaluation mode while tokens are computed; torch's own generators are left alone. Raises ConfigError at
    once, listing all problems, and CheckpointError where the model gives logits that are not finite.
    """

    model: Decoder
    requests: Sequence[Request]
    sampling: Sampling
    max_new_tokens: int
    batch_size: int = 8
    stop_id: int | None = None
    use_cache: bool = True
    recomputed: int = 0  # tokens whose choice took the plain way
    _ended: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        ConfigError.raise_if(self._problems(), title="cannot generate")
        self._window = self.model.shape.context_window
        self._device = self.model.embedding.weight.device
        self._cache = None
        if self.use_cache:
            rows = max(1, min(self.batch_size, len(self.requests)))
            self._cache = KeyValueCache(self.model.shape, batch_size=rows, device=self._device)

    def end(self, number: int) -> None:
        """Make no more tokens for this request; the text is over without a last (number, None)."""
        self._ended.add(number)

    def __iter__(self) -> Iterator[tuple[int, int | None]]:
        waiting = deque(enumerate(self.requests))
        rows: list[_Row] = []
        while waiting or rows:
            while waiting and len(rows) < self.batch_size:
                number, request = waiting.popleft()
                ids = list(request.prompt_ids)
                noise = Noise(request.seed, ids, request.sample)
                rows.append(_Row(number, ids[-self._window :], noise))
            for row, token in zip(rows, self._next_tokens(rows), strict=True):
                if token != self.stop_id and row.made < self.max_new_tokens:
                    row.ids.append(token)
                    row.made += 1
                    yield row.number, token
                if (token == self.stop_id or row.made >= self.max_new_tokens) and (
                    row.number not in self._ended
                ):
                    self.end(row.number)
                    yield row.number, None
            self._drop_ended(rows)

    def _problems(self) -> list[str]:
        vocab_size = self.model.shape.vocab_size
        prompts = [request.prompt_ids for request in self.requests]
        rules = (
            (all(len(ids) > 0 for ids in prompts), "the prompt is empty; at least one token is needed"),
            (
                all(0 <= token < vocab_size for ids in prompts for token in ids),
                f"prompt ids must be in [0, {vocab_size})",
            ),
            (self.max_new_tokens >= 0, f"max_new_tokens={self.max_new_tokens} must be at least 0"),
            (self.batch_size >= 1, f"batch_size={self.batch_size} must be at least 1"),
        )
        return [text for holds, text in rules if not holds] + self.sampling.problems()

    @torch.inference_mode()
    def _next_tokens(self, rows: list[_Row]) -> list[int]:
        with evaluating(self.model):
            for place, row in enumerate(rows):
                if len(row.ids) > self._window:
                    row.ids = row.ids[-max(1, int(self._window * KEPT_SHARE)) :]
                    row.cached = False
                if self._cache is not None and not row.cached:
                    self._fill(self._cache.rows(place), row)
            noise_BV = self._noise(rows)
            if self._cache is None:
                return self._chosen_plainly(rows, noise_BV)
            ids_B1 = torch.tensor([row.ids[-1:] for row in rows], device=self._device)
            last_BD = self.model.hidden(ids_B1, self._cache.rows(0, len(rows)))[:, -1]
            logits_BV = self._adjusted(last_BD, rows)
            penalty = self.sampling.repetition_penalty
            error_B = TRUSTED * max(penalty, 1 / penalty) * logits_BV.abs().amax(-1).clamp(min=1.0)
            tokens, sure = choose(logits_BV, noise_BV, self.sampling, error_B)
            for place in [place for place, is_sure in enumerate(sure) if not is_sure]:
                self.recomputed += 1
                noise_1V = None if noise_BV is None else noise_BV[place : place + 1]
                tokens[place] = self._chosen_plainly([rows[place]], noise_1V)[0]
            return tokens

    def _fill(self, cache: KeyValueCache, row: _Row) -> None:
        cache.reset()
        if len(row.ids) > 1:
            self.model.hidden(torch.tensor([row.ids[:-1]], device=self._device), cache)
        row.cached = True

    def _noise(self, rows: list[_Row]) -> Tensor | None:
        if self.sampling.temperature == 0:
            return None
        return torch.stack([row.noise.next(self.model.shape.vocab_size) for row in rows])

    def _chosen_plainly(self, rows: list[_Row], noise_BV: Tensor | None) -> list[int]:
        """The ids that define what the texts are: each row's tokens through the model, alone."""
        last = [self.model.hidden(torch.tensor([row.ids], device=self._device))[0, -1:] for row in rows]
        logits_BV = torch.cat([self._adjusted(x_1D, [row]) for x_1D, row in zip(last, rows, strict=True)])
        return choose(logits_BV, noise_BV, self.sampling, torch.zeros(len(rows), dtype=torch.float64))[0]

    def _adjusted(self, last_BD: Tensor, rows: list[_Row]) -> Tensor:
        """logits_BV of the next token, with the repetition penalty, in fp64 on the CPU."""
        logits_BV = (last_BD @ self.model.embedding.weight.T).double().cpu()
        if not bool(logits_BV.isfinite().all()):
            raise CheckpointError(
                "the model's logits are not finite: its training diverged; use another trial or checkpoint"
            )
        if (penalty := self.sampling.repetition_penalty) == 1:
            return logits_BV
        return torch.stack(
            [penalised(logits, row.ids, penalty) for logits, row in zip(logits_BV, rows, strict=True)]
        )

    def _drop_ended(self, rows: list[_Row]) -> None:
        """Close the gaps with the last rows, so that the rows in use are the cache's first."""
        for place in range(len(rows) - 1, -1, -1):
            if rows[place].number in self._ended:
                last = rows.pop()
                if place < len(rows):
                    rows[place] = last
                    if self._cache is not None:
                        self._cache.move(len(rows), place)


def generate(
    model: Decoder,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    seed: int = 0,
    use_cache: bool = True,
    stop_id: int | None = None,
) -> Iterator[int]:
    """The ids of one text's continuation, each as soon as it is known; see `Continuation`."""
    texts = Continuation(
        model,
        [Request(prompt_ids, seed)],
        sampling or Sampling(),
        max_new_tokens,
        stop_id=stop_id,
        use_cache=use_cache,
    )
    return (token for _, token in texts if token is not None)


@contextmanager
def evaluating(model: Decoder) -> Iterator[None]:
    """The model in evaluation mode for the length of the block."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
