"""Which run logged an artifact and which used it."""

from __future__ import annotations

import sqlite3
import time

from transformer_e2e.server.runs.store import select_runs


def record(tx: sqlite3.Connection, run_id: int, artifact_id: int, role: str) -> None:
    """The run logged (`output`) or used (`input`) the artifact; said once, however often it is recorded."""
    tx.execute(
        "INSERT INTO artifact_runs VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (run_id, artifact_id, role, time.time()),
    )


def runs_of(conn: sqlite3.Connection, artifact_id: int, role: str) -> list[sqlite3.Row]:
    """The runs with that role, oldest first."""
    where = "runs.id IN (SELECT run_id FROM artifact_runs WHERE artifact_id = ? AND role = ?)"
    return select_runs(conn, where, (artifact_id, role))


def artifacts_of(conn: sqlite3.Connection, run_id: int, role: str) -> list[sqlite3.Row]:
    """The committed artifacts of a run with that role, in the order in which they were named."""
    return conn.execute(
        "SELECT a.* FROM artifact_runs AS r JOIN artifacts AS a ON a.id = r.artifact_id "
        "WHERE r.run_id = ? AND r.role = ? AND a.state = 'COMMITTED' ORDER BY r.created_at, a.id",
        (run_id, role),
    ).fetchall()
