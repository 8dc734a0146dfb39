"""The files of runs: names, and the blobs that hold their bytes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable


def declare(tx: sqlite3.Connection, run_id: int, name: str) -> int:
    """The id of a file that is going to be uploaded; a file of that name stays as it is until then."""
    tx.execute(
        "INSERT INTO run_files (run_id, name, updated_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (run_id, name, time.time()),
    )
    row = tx.execute("SELECT id FROM run_files WHERE run_id = ? AND name = ?", (run_id, name)).fetchone()
    return int(row["id"])


def by_id(conn: sqlite3.Connection, file_id: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = conn.execute("SELECT * FROM run_files WHERE id = ?", (file_id,)).fetchone()
    return row


def fill(tx: sqlite3.Connection, file_id: int, digest: str, size: int) -> bool:
    """Record whose bytes a file has. False when the file was deleted meanwhile."""
    cursor = tx.execute(
        "UPDATE run_files SET digest = ?, size = ?, updated_at = ? WHERE id = ?",
        (digest, size, time.time(), file_id),
    )
    return cursor.rowcount == 1


def uploaded(
    conn: sqlite3.Connection, run_id: int, names: Iterable[str] = (), pattern: str | None = None
) -> list[sqlite3.Row]:
    """The files whose bytes are here; only `names` if any are given, or those like the SQL pattern."""
    wanted = set(names)
    rows = conn.execute(
        "SELECT * FROM run_files WHERE run_id = ? AND digest IS NOT NULL AND name LIKE ? ORDER BY name",
        (run_id, pattern or "%"),
    )
    return [row for row in rows if not wanted or row["name"] in wanted]


def count(conn: sqlite3.Connection, run_id: int) -> int:
    row = conn.execute(
        "SELECT COUNT(*) FROM run_files WHERE run_id = ? AND digest IS NOT NULL", (run_id,)
    ).fetchone()
    return int(row[0])


def delete(tx: sqlite3.Connection, file_ids: Iterable[int]) -> None:
    """Forget files; ids that are gone already are no error."""
    tx.executemany("DELETE FROM run_files WHERE id = ?", ((file_id,) for file_id in file_ids))


def clear(tx: sqlite3.Connection, run_id: int) -> None:
    tx.execute("DELETE FROM run_files WHERE run_id = ?", (run_id,))
