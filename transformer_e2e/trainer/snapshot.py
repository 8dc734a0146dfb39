"""A copy of the training state in memory, which is written while the state itself is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from transformer_e2e.trainer.checkpoint import Saved


class Snapshot:
    """Room for one copy of a state, kept from save to save.

    Fresh memory would cost a page fault for every 4 KiB: measured, 100 ms of CPU for 64 MB instead of 12.
    """

    def __init__(self) -> None:
        self._room: dict[str, Tensor] = {}

    def take(self, present: Saved) -> Saved:
        """`present`, but with tensors in the room, on the CPU; the copy before is overwritten."""
        copy = replace(
            present,
            weights=self._copied("weights", present.weights),
            optimizer=self._copied("optimizer", present.optimizer),
        )
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # copies from a GPU were only begun
        return copy

    def _copied(self, part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        copies = {}
        for name, tensor in tensors.items():
            key = f"{part}/{name}"
            room = self._room.get(key)
            if room is None or room.shape != tensor.shape or room.dtype != tensor.dtype:
                room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
                self._room[key] = room
            copies[name] = room.copy_(tensor.detach(), non_blocking=True)
        return copies
