"""Queries and keys of equal length: attention scores can then not outgrow what a softmax can learn from.

Shape letters: B batch, T time, H heads, K head_dim.
Sources: Henry et al. 2020, section 3, https://arxiv.org/abs/2010.04245; with RMSNorm and a gain before the
rotation as in Qwen3 (Yang et al. 2025, section 2, https://arxiv.org/abs/2505.09388).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryKeyNorm(nn.Module):
    """RMSNorm of each head's query and key, with one gain for all queries and one for all keys."""

    def __init__(self, head_dim: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.query_gain = nn.Parameter(torch.ones(head_dim))
        self.key_gain = nn.Parameter(torch.ones(head_dim))

    def forward(self, qk_BTHK: Tensor) -> Tensor:
        """Queries, then as many keys, along H. The type is kept; sums and roots are in fp32 inside."""
        normed_BTHK = F.rms_norm(qk_BTHK, qk_BTHK.shape[-1:], eps=self.epsilon)
        gain_2K = torch.stack([self.query_gain, self.key_gain])
        gain_HK = gain_2K.repeat_interleave(qk_BTHK.shape[2] // 2, dim=0)
        return normed_BTHK * gain_HK.to(qk_BTHK.dtype)
