"""Memory that does not suffice for a step, told as what it is: settings too large for this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from transformer_e2e.config.settings import Settings
from transformer_e2e.errors import ConfigError

_CPU_ALLOCATOR = "DefaultCPUAllocator"  # PyTorch has no type of its own for what it cannot allocate there


@contextmanager
def enough_memory(settings: Settings) -> Iterator[None]:
    """Raises ConfigError, with smaller settings that train alike, where the block runs out of memory.

    Not where Linux promises more than it has and then kills the process: nothing can be said there.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        if not _is_shortage(error):
            raise
        train = settings.train
        half = max(1, train.batch_size // 2)
        smaller = f"--batch_size {half} --gradient_accumulation {2 * train.gradient_accumulation}"
        about = "about " if train.batch_size % 2 else ""
        ways = [f"{smaller} ({about}as many sequences a step)"] if half < train.batch_size else []
        if not (settings.run.gradient_checkpointing or train.compile):  # which exclude each other
            ways.append("--gradient_checkpointing")
        raise ConfigError(
            f"--batch_size={train.batch_size} with --context_window={settings.data.context_window} does not "
            f"fit into this machine's memory ({str(error).splitlines()[0][:200]}). What helps: "
            + ", or ".join([*ways, "a smaller model"])
        ) from error


def _is_shortage(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _CPU_ALLOCATOR in str(error)
