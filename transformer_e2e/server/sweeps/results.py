"""What trials have achieved so far, in the terms of their sweep's metric."""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Sequence

from transformer_e2e.server.runs import lines_store
from transformer_e2e.server.runs import store as runs
from transformer_e2e.server.sweeps.definition import Definition
from transformer_e2e.server.wire import parse_object


class Results:
    """Values of metrics by run, read from the history once and kept until the run posts again.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, str], tuple[float, Sequence[float]]] = {}

    def curve(self, conn: sqlite3.Connection, run: sqlite3.Row, metric: str) -> Sequence[float]:
        """Every value of `metric` that the run has logged, in order: one an evaluation."""
        key, version = (run["id"], metric), run["heartbeat_at"]
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept[0] != version:
            # An array: 8 bytes a value instead of 32, and a sweep may have thousands of runs.
            kept = (version, array("d", runs.metric_history(conn, run["id"], metric)))
            with self._lock:
                self._kept[key] = kept
        return kept[1]

    def value(self, conn: sqlite3.Connection, run: sqlite3.Row, definition: Definition) -> float | None:
        """The best value in the run's history, else the one in its summary, else None."""
        if definition.metric is None:
            return None
        best = definition.best(self.curve(conn, run, definition.metric))
        if best is not None:
            return best
        return lines_store.as_number(
            lines_store.lookup(parse_object(run["summary"], "the summary"), definition.metric)
        )
