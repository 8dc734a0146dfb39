"""Which process of a torchrun this is; read from the environment, without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from transformer_e2e.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """One process among those that train together; alone by default."""

    rank: int = 0  # 0 to size - 1; 0 has the trial
    size: int = 1
    local_rank: int = 0  # among the processes of this machine: which of its GPUs to take
    local_size: int = 1
    restart: int = 0  # how often this torchrun has started its processes anew

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def place() -> Place:
    """What torchrun has set, or the only process there is. Raises ConfigError for half of torchrun's set."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Place()
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"RANK and WORLD_SIZE are set, {' and '.join(missing)} not: start the program with torchrun, "
            f"which sets them all, or unset RANK and WORLD_SIZE"
        )
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    return Place(
        rank=rank,
        size=size,
        local_rank=_number("LOCAL_RANK", rank),
        local_size=_number("LOCAL_WORLD_SIZE", size),
        restart=_number("TORCHELASTIC_RESTART_COUNT", 0),
    )


def _number(name: str, otherwise: int = 0) -> int:
    given = os.environ.get(name, str(otherwise))
    if not given.isdigit():
        raise ConfigError(f"{name}={given} in the environment is no number; torchrun sets one")
    return int(given)
