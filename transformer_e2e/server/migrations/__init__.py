"""The database's shape, as ordered SQL files; each is applied once, together with the row that says so."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def apply(connection: sqlite3.Connection, folder: Path = FOLDER) -> list[str]:
    """Apply the files of `folder` that this database has not seen, in the order of their names.

    Each file is one transaction: after a crash or a bad statement it was applied wholly or not at all.
    Returns the names applied now. Raises sqlite3.Error; the files before the bad one stay applied.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (name TEXT PRIMARY KEY, applied_at REAL NOT NULL)"
    )
    known = {row[0] for row in connection.execute("SELECT name FROM schema_version")}
    applied = []
    for path in sorted(folder.glob("*.sql")):
        if path.name not in known:
            _apply_file(connection, path)
            applied.append(path.name)
    return applied


def _apply_file(connection: sqlite3.Connection, path: Path) -> None:
    # executescript commits what is open before it starts, so the transaction is part of the script.
    record = f"INSERT INTO schema_version VALUES ('{path.name}', {time.time()!r});"
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{path.read_text()}\n;{record}\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
