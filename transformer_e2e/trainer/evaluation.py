"""One pass over validation data, in pieces small enough to stop between.

Shape letters: N windows, B batch, T context window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from transformer_e2e.compute.device import products_in
from transformer_e2e.compute.world import World
from transformer_e2e.metrics.language import bits_per_byte, perplexity, word_perplexity
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.loss import IGNORED


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Scores a model on validation windows; holds no state, and draws no random number.

    The ranks of `world` share the windows, and all have the numbers: all call it, or none.

    `windows_NT1` are ids (N, T + 1), each window beginning with the last token of the one before, and
    IGNORED past the end of the text. `text_bytes` and `text_words` are those of the whole text.
    """

    windows_NT1: np.ndarray
    text_bytes: int
    text_words: int
    batch_size: int = 32
    window_limit: int = 0  # windows of a partial evaluation; 0: all
    precision: str = "fp32"
    should_stop: Callable[[], bool] = lambda: False
    world: World = field(default_factory=World.alone)

    def __call__(self, model: Decoder, whole: bool) -> dict[str, float] | None:
        """The metrics `eval/...`, or None if `should_stop` cut the pass short on any rank.

        `eval/loss` is always over the same windows, `window_limit` of them spread evenly, so that it can be
        compared between evaluations and between trials. The other metrics are over those windows too, or,
        if `whole`, over all; `eval/whole_loss` is then the loss over all, where that is not the same. Bytes
        and words of a part are taken in proportion to its tokens.
        """
        partial_N = self.partial_windows()
        chosen_N = np.arange(len(self.windows_NT1)) if whole else partial_N
        nats_N = self.window_nats(model, chosen_N)
        if nats_N is None:
            return None
        metrics = self.summarise(nats_N, chosen_N)
        if whole and len(partial_N) < len(chosen_N):
            metrics["eval/whole_loss"] = metrics["eval/loss"]
            metrics["eval/loss"] = float(nats_N[partial_N].sum()) / self.tokens_in(partial_N)
        return metrics

    def partial_windows(self) -> np.ndarray:
        count = len(self.windows_NT1)
        limit = min(self.window_limit or count, count)
        return np.arange(limit) * count // limit

    def tokens_in(self, chosen_N: np.ndarray) -> int:
        return int((self.windows_NT1[chosen_N, 1:] != IGNORED).sum())

    @torch.no_grad()
    def window_nats(self, model: Decoder, chosen_N: np.ndarray) -> np.ndarray | None:
        """Summed loss of each chosen window (fp64), or None if told to stop."""
        own = slice(self.world.rank, None, self.world.size)
        own_nats = self.own_window_nats(model, chosen_N[own])
        if self.world.agree(own_nats is None) or own_nats is None:
            return None
        nats_N = np.zeros(len(chosen_N))
        nats_N[own] = own_nats
        self.world.sum_(torch.from_numpy(nats_N))  # each window has one number and else zeros
        return nats_N

    def own_window_nats(self, model: Decoder, chosen_N: np.ndarray) -> np.ndarray | None:
        device = model.embedding.weight.device
        training = model.training
        model.eval()
        parts = []
        for start in range(0, len(chosen_N), self.batch_size):
            if self.should_stop():
                break
            ids = self.windows_NT1[chosen_N[start : start + self.batch_size]]
            ids_BT1 = torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64)).to(device)
            with products_in(self.precision, device):
                nats_BT = model.token_losses(ids_BT1[:, :-1].clamp(min=0), ids_BT1[:, 1:])
            parts.append(nats_BT.double().sum(1).cpu().numpy())
        model.train(training)
        nats_N = np.concatenate(parts) if parts else np.zeros(0)
        return nats_N if len(nats_N) == len(chosen_N) else None

    def summarise(self, nats_N: np.ndarray, chosen_N: np.ndarray) -> dict[str, float]:
        tokens = self.tokens_in(chosen_N)
        everything = self.tokens_in(np.arange(len(self.windows_NT1)))
        total = float(nats_N.sum()) * (everything / tokens)
        return {
            "eval/loss": float(nats_N.sum()) / tokens,
            "eval/perplexity": perplexity(float(nats_N.sum()) / tokens),
            "eval/bits_per_byte": bits_per_byte(total, self.text_bytes),
            "eval/word_perplexity": word_perplexity(total, self.text_words),
        }
