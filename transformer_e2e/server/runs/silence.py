"""Runs that nobody hears of any more."""

from __future__ import annotations

import time

from transformer_e2e.server.db import Database
from transformer_e2e.server.runs import store


def forgive(db: Database) -> None:
    """At a server's start: nobody could be heard while it was down, so every clock begins anew."""
    with db.write() as tx:
        store.reset_heartbeats(tx)


def judge(db: Database, timeout: float) -> list[int]:
    """Call those runs crashed that were silent for `timeout` seconds; returns their ids.

    Killed, if they were told to stop; preempted, if they had announced it. A crashed run that speaks again
    is running again.
    """
    since = time.time() - timeout
    with db.read() as conn:
        if not store.silent_runs(conn, since):
            return []
    with db.write() as tx:
        silent = store.silent_runs(tx, since)
        for run_id in silent:
            run = store.run_by_id(tx, run_id)
            assert run is not None
            by_intent = "killed" if run["stop_requested"] else "preempted" if run["preempting"] else "crashed"
            store.set_state(tx, run_id, by_intent)
    return silent
