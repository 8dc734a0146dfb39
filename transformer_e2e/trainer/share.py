"""Which of a step's sequences each rank takes. The step sees the same ones whatever the world's size."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.errors import ConfigError


@dataclass(frozen=True)
class Piece:
    """Rows `first` to `end` - 1 of one micro-batch of the step."""

    micro_batch: int
    first: int
    end: int


def share(rank: int, size: int, settings: TrainSettings) -> list[Piece]:
    """The pieces of rank `rank` of `size`, in order; over all ranks, every sequence of the step once.

    The sequences are counted through all micro-batches and cut into `size` runs whose lengths differ by one
    at most: whole micro-batches where they divide evenly, else rows of them.
    """
    rows, total = settings.batch_size, sequences(settings)
    first, end = total * rank // size, total * (rank + 1) // size
    return [
        Piece(index, max(first - index * rows, 0), min(end - index * rows, rows))
        for index in range(first // rows, -(-end // rows))
    ]


def require_a_sequence_each(size: int, settings: TrainSettings) -> None:
    """Raise ConfigError if some of `size` processes would have nothing to do."""
    if size > sequences(settings):
        raise ConfigError(
            f"{size} processes cannot share the {sequences(settings)} sequences of a step "
            f"(--batch_size={settings.batch_size} x --gradient_accumulation="
            f"{settings.gradient_accumulation}); at most --nproc_per_node={sequences(settings)} works, or "
            f"--batch_size={-(-size // settings.gradient_accumulation)}"
        )


def sequences(settings: TrainSettings) -> int:
    """Of one step, over all ranks."""
    return settings.batch_size * settings.gradient_accumulation
