"""The keys and values of the positions a decoder has already seen, for one token at a time.

Shape letters: L layers, B batch, H heads, W context window, K head_dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from transformer_e2e.model.shape import ModelShape


class KeyValueCache:
    """Room for `shape.context_window` positions; `length` of them are filled. A full one must be reset."""

    def __init__(
        self,
        shape: ModelShape,
        *,
        batch_size: int = 1,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        size = (shape.num_layers, batch_size, shape.num_heads, shape.context_window, shape.head_dim)
        self.keys_LBHWK = torch.zeros(size, device=device, dtype=dtype)
        self.values_LBHWK = torch.zeros(size, device=device, dtype=dtype)
        self.length = 0

    def reset(self) -> None:
        """Forget every position."""
        self.length = 0

    def put(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions after the filled ones; returns all keys and values of that layer so far.

        `length` grows only in `advance`, once all layers have written theirs.
        """
        end = self.length + k_BHTK.shape[2]
        self.keys_LBHWK[layer, :, :, self.length : end] = k_BHTK
        self.values_LBHWK[layer, :, :, self.length : end] = v_BHTK
        return self.keys_LBHWK[layer, :, :, :end], self.values_LBHWK[layer, :, :, :end]

    def advance(self, count: int) -> None:
        self.length += count
