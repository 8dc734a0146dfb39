"""Where a trial computes, with how many threads, and that it computes the same bits every time."""

from __future__ import annotations

import ctypes
import os
from contextlib import AbstractContextManager, nullcontext

import torch

from transformer_e2e.compute.place import Place
from transformer_e2e.errors import ConfigError

CUBLAS_WORKSPACE = ":4096:8"  # eight fixed buffers of 4 MiB: what cuBLAS asks for to be deterministic


def resolve_device(name: str, place: Place | None = None) -> torch.device:
    """`auto` takes cuda, then mps, then cpu; several processes take one GPU each, and no mps.

    Raises ConfigError if the named device is not there, or not as many of them as processes.
    """
    place = place or Place()
    mps = torch.backends.mps.is_available() and place.size == 1
    there = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    if name == "auto":
        name = next(kind for kind, usable in there.items() if usable)
    if not there.get(name, False):
        usable = ", ".join(["auto", *(kind for kind, found in there.items() if found)])
        raise ConfigError(f"--device={name} is not usable on this machine; use one of {usable}")
    if name == "cuda" and place.size > 1:
        return own_gpu(place, torch.cuda.device_count())
    return torch.device(name)


def own_gpu(place: Place, gpus: int) -> torch.device:
    """The GPU of one of this machine's processes. Raises ConfigError, on all of them, if one gets none."""
    if place.local_size > gpus:
        raise ConfigError(
            f"{place.local_size} processes on this machine need a GPU each, and it has {gpus}; "
            f"--nproc_per_node={gpus} works, or --device=cpu"
        )
    return torch.device("cuda", place.local_rank)


def threads_each(threads: int, processes: int) -> int:
    """The share of each of `processes` in `threads` CPU threads, at least 1; 0 (undecided) stays 0."""
    return max(1, threads // processes) if threads else 0


def prepare_process(threads: int) -> int:
    """Make this process train exactly and quickly. Returns the number of CPU threads in use.

    `threads` 0 keeps what torch found: OMP_NUM_THREADS, else the cores. Call it before the first tensor.
    """
    keep_freed_memory()
    make_deterministic()
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def make_deterministic() -> None:
    """Same input, same bits, from process to process (with the same number of threads)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(True)
    # The mode would also fill every fresh buffer with NaN, to show reads of memory never written: a
    # debugging aid that costs a pass over each buffer.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Let glibc reuse large freed buffers instead of returning them to the kernel after every tensor.

    Fetching them again costs a page fault for every 4 KiB: measured, 340 of 990 ms of an fp32 step. Does
    nothing where the C library is another one.
    """
    mmap_threshold, trim_threshold, size = -3, -1, 1 << 30
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_threshold, size)
        libc.mallopt(trim_threshold, size)


def precision_advice(precision: str, device: torch.device) -> str | None:
    """What to change so that this machine trains quicker; None: nothing.

    Measured for a 5.3 M decoder on two cores: bf16 is twice as quick as fp32 where the processor has
    instructions for it, and more than ten times slower where it has not.
    """
    if precision == "bf16" and not multiplies_bf16(device):
        return (
            f"this {device.type} has no bf16 instructions: --precision fp32 trains several times quicker here"
        )
    if precision == "fp32" and multiplies_bf16(device):
        return f"this {device.type} has bf16 instructions: --precision bf16 trains quicker here"
    return None


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16 products, rather than emulating them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def products_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a forward pass multiplies: `bf16` under autocast, `fp32` as it is."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
