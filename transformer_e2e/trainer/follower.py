"""The trial as every rank but 0 sees it: nothing to log, nothing to save, only a stop to hear of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from transformer_e2e.runs.trial import Fill


class Follower:
    """Implements `Trial` for a rank that trains along; what rank 0 restores reaches it through the World."""

    def __init__(self, stop_requested: Callable[[], bool]) -> None:
        self._stop_requested = stop_requested

    @property
    def directory(self) -> Path:
        """Raises RuntimeError: only rank 0 may look at the trial's files, which change under its hands."""
        raise RuntimeError("the trial's directory belongs to rank 0")

    @property
    def stop_requested(self) -> bool:
        return self._stop_requested()

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        pass

    def save(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        pass

    def save_later(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        pass

    def settle(self) -> None:
        pass

    def restore(self, load: Callable[[Path], None]) -> int | None:
        return None
