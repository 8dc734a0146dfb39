"""The processes that train one model together, each on its share of every step's sequences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from transformer_e2e.compute.place import Place
from transformer_e2e.errors import PeerLost

# A dead peer is noticed at once: the kernel closes its sockets. This is for one that is stuck, or whose
# machine lost its power; rank 0 may spend minutes between two steps on a checkpoint.
PATIENCE = timedelta(minutes=10)


class World:
    """What the processes tell each other. Every rank makes the same calls in the same order.

    Raises PeerLost, from any call, when another process has died, or has not answered for `PATIENCE`.
    """

    def __init__(self, rank: int, size: int, group: dist.ProcessGroup | None = None) -> None:
        """Made by `alone`, `of_library` or `joined`. `group` None: the one that torch has by default."""
        self.rank, self.size, self.group = rank, size, group

    @classmethod
    def alone(cls) -> World:
        """One process: nothing is sent, nothing is waited for."""
        return cls(0, 1)

    @classmethod
    def of_library(cls) -> World:
        """The processes that a library has joined, maybe for tensors on GPUs alone; alone if it has not."""
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return cls.alone()
        with peers_alive():
            group = dist.new_group(backend="gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size(), group)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that logs and saves."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over the ranks, the same bits on all of them."""
        if self.size > 1:
            with peers_alive():
                dist.all_reduce(tensor, group=self.group)

    def agree(self, flag: bool) -> bool:
        """Whether any rank's flag is set."""
        if self.size == 1:
            return flag
        raised = torch.tensor([int(flag)])
        self.sum_(raised)
        return bool(raised)

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, which JSON can hold, on every rank; what the others pass is not looked at."""
        if self.size == 1:
            return value
        content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([len(content)])
        with peers_alive():
            dist.broadcast(length, src=0, group=self.group)
            if not self.is_main:
                content = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(content, src=0, group=self.group)
        return json.loads(content.numpy().tobytes())

    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rank 0's tensors, by name; on the CPU where they came from another process."""
        if self.size == 1:
            return tensors
        forms = {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in tensors.items()}
        received = {}
        for name, (dtype, shape) in self.broadcast(forms).items():
            if self.is_main:
                tensor = tensors[name].detach().cpu().contiguous()
            else:
                tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            with peers_alive():
                dist.broadcast(tensor, src=0, group=self.group)
            received[name] = tensor
        return tensors if self.is_main else received


@contextmanager
def joined(place: Place, store: dist.Store, device: torch.device) -> Iterator[World]:
    """The world of all of torchrun's processes, from here to the end of the block. Alone if it is one.

    Tensors on the CPU go through gloo, those on a GPU through NCCL. Raises PeerLost when the others do not
    come within `PATIENCE`.
    """
    if place.size == 1:
        yield World.alone()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with peers_alive():
        dist.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.size, timeout=PATIENCE
        )
    try:
        yield World(place.rank, place.size)
    finally:
        dist.destroy_process_group()


@contextmanager
def peers_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo, NCCL and the store have no type of their own in common
        raise PeerLost(
            "another process of this training has died or does not answer; its own message says why. The "
            f"same command continues from the newest checkpoint. ({str(error).splitlines()[0]})"
        ) from error


@contextmanager
def peers_alive_in_library() -> Iterator[None]:
    """As `peers_alive`, around code of others, whose RuntimeErrors mostly mean something else."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            with peers_alive():
                raise
        raise
