"""The keys and values of the positions a decoder has already seen, for one token at a time.

Shape letters: L layers, B batch (rows, one text each), H heads, W context window, K head_dim, T time (new
positions), S positions attended to.
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from transformer_e2e.model.shape import ModelShape


class KeyValueCache:
    """Room for `shape.context_window` positions of each row; `lengths_B` of them are filled.

    All rooms are made once. Rows may be of unequal length; a full one must be reset.
    """

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
        self.lengths_B = torch.zeros(batch_size, dtype=torch.int64)
        self.positions: slice | Tensor = slice(0, 0)  # of the pass that is under way
        self.mask: Tensor | None = None  # what that pass may look at; None: everything

    @property
    def length(self) -> int:
        """Filled positions of the longest row."""
        return int(self.lengths_B.max())

    def rows(self, first: int, count: int = 1) -> KeyValueCache:
        """These rows alone, in the same memory: what is put there is in this cache, too."""
        part = copy(self)
        part.keys_LBHWK = self.keys_LBHWK[:, first : first + count]
        part.values_LBHWK = self.values_LBHWK[:, first : first + count]
        part.lengths_B = self.lengths_B[first : first + count]
        return part

    def reset(self) -> None:
        """Forget every position of every row."""
        self.lengths_B.zero_()

    def move(self, source: int, target: int) -> None:
        """Put row `source` in the place of row `target`."""
        length = int(self.lengths_B[source])
        for tensor in (self.keys_LBHWK, self.values_LBHWK):
            tensor[:, target, :, :length] = tensor[:, source, :, :length]
        self.lengths_B[target] = length

    def begin(self, time: int) -> slice | Tensor:
        """Start a pass over `time` new positions of each row. Returns which positions these are: a slice
        where all rows are of one length, else indices_BT."""
        end = self.length + time
        device = self.keys_LBHWK.device
        if bool((self.lengths_B == self.length).all()):
            self.positions, self.mask = slice(end - time, end), None
            if time > 1:
                self.mask = torch.ones(time, end, dtype=torch.bool, device=device).tril_(end - time)
            return self.positions
        positions_BT = self.lengths_B[:, None] + torch.arange(time)
        self.positions = positions_BT.to(device)
        self.mask = torch.arange(end, device=device) <= self.positions[:, None, :, None]
        return self.positions

    def put(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Write new positions of one layer; returns its keys_BHSK and values_BHSK so far, and which of
        them each new position may look at (True; None: all).

        `lengths_B` grows only in `advance`, once all layers have written theirs.
        """
        end = self.length + k_BHTK.shape[2]
        found = []
        for stored_BHWK, new_BHTK in (
            (self.keys_LBHWK[layer], k_BHTK),
            (self.values_LBHWK[layer], v_BHTK),
        ):
            if isinstance(self.positions, slice):
                stored_BHWK[:, :, self.positions] = new_BHTK
            else:
                rows_B1 = torch.arange(len(new_BHTK), device=new_BHTK.device)[:, None]
                stored_BHWK[rows_B1, :, self.positions] = new_BHTK.transpose(1, 2)
            found.append(stored_BHWK[:, :, :end])
        return found[0], found[1], self.mask

    def advance(self, count: int) -> None:
        self.lengths_B += count
