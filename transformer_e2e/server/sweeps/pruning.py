"""Early termination: which running trials are asked to stop because others do better."""

from __future__ import annotations

import sqlite3
import time

from transformer_e2e.search import hyperband
from transformer_e2e.server.db import Database
from transformer_e2e.server.runs import store as runs
from transformer_e2e.server.sweeps import store
from transformer_e2e.server.sweeps.definition import Definition, parse
from transformer_e2e.server.sweeps.lanes import Lane
from transformer_e2e.server.sweeps.results import Results


def look(db: Database, results: Results, lane: Lane, sweep_id: int, *, interval: float) -> None:
    """Ask the sweep's hopeless trials to stop, at most once every `interval` seconds.

    One thread at a time looks; another that comes meanwhile returns at once.
    """
    if not lane.look.acquire(blocking=False):
        return
    try:
        if time.monotonic() - lane.looked_at < interval:
            return
        with db.read() as conn:
            definition = parse(store.sweep(conn, sweep_id)["config"])
            hopeless = _hopeless(conn, results, sweep_id, definition)
        if hopeless:
            with db.write() as tx:
                for run_id in hopeless:
                    runs.request_stop(tx, run_id, "pruned")
        lane.looked_at = time.monotonic()
    finally:
        lane.look.release()


def _hopeless(conn: sqlite3.Connection, results: Results, sweep_id: int, definition: Definition) -> list[int]:
    if not definition.stops_early or definition.metric is None:
        return []
    rows = {row["name"]: row for row in store.results_of_sweep(conn, sweep_id)}
    curves = [
        hyperband.Curve(name, row["state"], results.curve(conn, row, definition.metric))
        for name, row in rows.items()
    ]
    names = hyperband.to_stop(definition.config, curves)
    return [rows[name]["id"] for name in names if not rows[name]["stop_requested"]]
