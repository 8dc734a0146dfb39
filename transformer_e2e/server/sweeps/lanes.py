"""What the server keeps in memory of each sweep: whose turn it is, and the process that searches for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transformer_e2e.server.sweeps.search_process import SearchProcess
from transformer_e2e.server.sweeps.timings import Timings

MAX_WAITING = 16  # heartbeats that may hold one of the server's 40 worker threads for a decision


class Lane:
    """One sweep's. `search` belongs to whoever has the turn, `looked_at` to whoever holds `look`."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.search = SearchProcess()
        self.look = threading.Lock()
        self.looked_at = 0.0  # time.monotonic() of the last look at the sweep's curves


class Lanes:
    """The lanes of all sweeps. Safe to share between threads."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._lanes: dict[int, Lane] = {}
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def of(self, sweep_id: int) -> Lane:
        with self._lock:
            return self._lanes.setdefault(sweep_id, Lane())

    @contextmanager
    def turn(self, sweep_id: int) -> Iterator[Lane | None]:
        """The sweep's lane, to decide alone; None if too many wait already or it took too long."""
        lane = self.of(sweep_id)
        if not self._waiting.acquire(blocking=False):
            yield None
            return
        try:
            if not lane.turn.acquire(timeout=self._timings.turn):
                yield None
                return
            try:
                yield lane
            finally:
                lane.turn.release()
        finally:
            self._waiting.release()

    def end_idle_searches(self) -> None:
        """End the search processes that nobody has asked for a while; the next question starts another."""
        for lane in self._all():
            if lane.search.idle_seconds > self._timings.idle_search and lane.turn.acquire(blocking=False):
                try:
                    lane.search.close()
                finally:
                    lane.turn.release()

    def close(self) -> None:
        """End every search process, also in the middle of a question."""
        for lane in self._all():
            lane.search.close()

    def _all(self) -> list[Lane]:
        with self._lock:
            return list(self._lanes.values())
