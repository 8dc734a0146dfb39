"""Where torchrun's processes find each other, before rank 0 knows whether there is anything to train.

Rank 0 may wait long for a lock, find the trial done, or be refused by W&B. The others wait as long as that
takes; no time-out can tell a long wait from a short one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist

from transformer_e2e.compute.place import Place
from transformer_e2e.compute.world import PATIENCE, World, joined, peers_alive
from transformer_e2e.errors import PeerLost

CALLED, LEFT = "called-{}", "left"  # keys of the store that all processes see
POLL_SECONDS = 0.1


class Meeting:
    """Rank 0 calls the others to the next stage of the trial, or leaves; the others hear which. Raises
    PeerLost when torchrun's store is gone."""

    def __init__(self, place: Place) -> None:
        self._place, self._stage = place, 0
        with peers_alive():
            store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
        # torchrun keeps one store over its restarts: what an earlier set of processes left there is not ours
        self._store = dist.PrefixStore(f"start-{place.restart}", store)

    def call_others(self) -> None:
        """By rank 0: the next stage begins. The last one is the training: come to `world`."""
        with peers_alive():
            self._store.set(CALLED.format(self._stage), "")
        self._stage += 1

    def leave(self, code: int) -> None:
        """By rank 0: it ends with exit code `code`. Nobody is there to hear it when torchrun is gone."""
        with contextlib.suppress(PeerLost), peers_alive():
            self._store.set(LEFT, str(int(code)))

    def called(self) -> bool:
        """By the others: wait until rank 0 calls to the next stage (true) or leaves (false)."""
        while not self._has(CALLED.format(self._stage)):
            if self._has(LEFT):
                return False
            time.sleep(POLL_SECONDS)
        self._stage += 1
        return True

    def exit_code(self, *, seconds: float, give_up: Callable[[], bool]) -> int | None:
        """By the others: the code that rank 0 left with; None if it has not left before `give_up`."""
        deadline = time.monotonic() + seconds
        while not self._has(LEFT):
            if give_up() or time.monotonic() > deadline:
                return None
            time.sleep(POLL_SECONDS)
        with peers_alive():
            return int(self._store.get(LEFT))

    def world(self, device: torch.device) -> AbstractContextManager[World]:
        """All processes as a World, for the time of the block."""
        return joined(self._place, self._store, device)

    def _has(self, key: str) -> bool:
        with peers_alive():
            return bool(self._store.check([key]))
