"""How the next token is chosen from its logits. Shape letters: V vocab_size."""

from __future__ import annotations

import torch
from torch import Tensor


class Choice:
    """Draws ids with temperature, top-k and top-p, from a generator of its own.

    One uniform number is drawn per token and looked up in the cumulative probabilities of the tokens sorted
    by probability, in fp64 on the CPU: a difference in a logit's last bit (another kernel, a GPU) then
    changes a token only where the number falls within that bit of a border.
    """

    def __init__(self, temperature: float, top_k: int, top_p: float, seed: int) -> None:
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.generator = torch.Generator().manual_seed(seed)

    def of(self, logits_V: Tensor) -> int:
        """The chosen id. Among equal logits the lowest id comes first."""
        if self.temperature == 0:
            return int(logits_V.argmax())
        chances_V, order_V = self.chances(logits_V)
        drawn = torch.rand((), generator=self.generator, dtype=torch.float64) * chances_V.sum()
        place = torch.searchsorted(chances_V.cumsum(0), drawn, right=True)
        return int(order_V[min(int(place), len(order_V) - 1)])

    def chances(self, logits_V: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of the tokens left in, likeliest first and not normalised anew, and their ids.

        top-k keeps the k likeliest; top-p of those the smallest set that holds the mass p (Holtzman et
        al. 2019, section 3.1, https://arxiv.org/abs/1904.09751), the likeliest always.
        """
        scaled_V = logits_V.double().cpu() / self.temperature
        sorted_V, order_V = scaled_V.sort(descending=True, stable=True)
        if self.top_k:
            sorted_V, order_V = sorted_V[: self.top_k], order_V[: self.top_k]
        chances_V = sorted_V.softmax(0)
        mass_before_V = chances_V.cumsum(0) - chances_V
        kept_V = mass_before_V < self.top_p
        kept_V[0] = True
        return chances_V[kept_V], order_V[kept_V]
