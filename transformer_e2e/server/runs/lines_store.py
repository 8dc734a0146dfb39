"""The lines that a run sends: history and events (JSON objects), console (text)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Table = Literal["history", "events", "console"]
_COLUMN: dict[Table, str] = {"history": "json", "events": "json", "console": "text"}


def append(tx: sqlite3.Connection, table: Table, run_id: int, offset: int, lines: Sequence[str]) -> None:
    """Make `lines` the lines from `offset` on, and the last ones, so that repeating it changes nothing."""
    tx.execute(f"DELETE FROM {table} WHERE run_id = ? AND line >= ?", (run_id, offset))
    overwrite(tx, table, run_id, offset, lines)


def overwrite(tx: sqlite3.Connection, table: Table, run_id: int, offset: int, lines: Sequence[str]) -> None:
    """Put `lines` at `offset`, leaving what lies after them: a terminal rewrites earlier lines."""
    numbered = enumerate(lines, offset)
    if table == "history":
        tx.executemany(
            "INSERT OR REPLACE INTO history (run_id, line, step, json) VALUES (?, ?, ?, ?)",
            ((run_id, number, parsed(number, line)["_step"], line) for number, line in numbered),
        )
    else:
        tx.executemany(
            f"INSERT OR REPLACE INTO {table} (run_id, line, {_COLUMN[table]}) VALUES (?, ?, ?)",
            ((run_id, number, line) for number, line in numbered),
        )


def clear(tx: sqlite3.Connection, run_id: int) -> None:
    """Forget all lines of a run."""
    for table in _COLUMN:
        tx.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))


def count(conn: sqlite3.Connection, table: Table, run_id: int) -> int:
    """One more than the last line's number: the offset of the next."""
    row = conn.execute(f"SELECT MAX(line) + 1 FROM {table} WHERE run_id = ?", (run_id,)).fetchone()
    return int(row[0] or 0)


def tail(conn: sqlite3.Connection, table: Table, run_id: int) -> str | None:
    """The text of the last line, or None."""
    row = conn.execute(
        f"SELECT {_COLUMN[table]} FROM {table} WHERE run_id = ? ORDER BY line DESC LIMIT 1", (run_id,)
    ).fetchone()
    return None if row is None else str(row[0])


def texts(
    conn: sqlite3.Connection, table: Table, run_id: int, start: int = 0, limit: int = -1
) -> list[tuple[int, str]]:
    """(number, text) of at most `limit` lines (-1: all) from number `start` on."""
    query = f"SELECT line, {_COLUMN[table]} FROM {table} WHERE run_id = ? AND line >= ? ORDER BY line LIMIT ?"
    return [(row[0], row[1]) for row in conn.execute(query, (run_id, start, limit))]


def history(
    conn: sqlite3.Connection, run_id: int, min_step: int | None = None, max_step: int | None = None
) -> list[tuple[int, str]]:
    """(number, text) of the history lines with min_step <= _step < max_step; None: no bound."""
    low, high = -(2**62) if min_step is None else min_step, 2**62 if max_step is None else max_step
    query = "SELECT line, json FROM history WHERE run_id = ? AND step >= ? AND step < ? ORDER BY line"
    return [(row[0], row[1]) for row in conn.execute(query, (run_id, low, high))]


def history_rows(
    conn: sqlite3.Connection, run_id: int, min_step: int | None = None, max_step: int | None = None
) -> Iterator[dict[str, Any]]:
    """`history` as objects, see `parsed`."""
    return (parsed(line, text) for line, text in history(conn, run_id, min_step, max_step))


def parsed(line: int, text: str) -> dict[str, Any]:
    """One line as an object; it has `_step` (the line's number where the client sent none).

    The bare tokens NaN and Infinity become strings, so that they fit into answers, which are strict JSON.
    """
    row: dict[str, Any] = json.loads(text, parse_constant=str)
    if "_step" not in row:
        row["_step"] = line
    return row


def flattened(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as names joined with dots; media objects (those with `_type`) stay whole."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and "_type" not in value:
            flat.update(flattened(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def lookup(row: Mapping[str, Any], name: str) -> Any:
    """The value of a flattened name, or None."""
    if name in row:
        return row[name]
    return flattened(row).get(name) if "." in name else None


def as_number(value: Any) -> float | None:
    """A metric's value; the client writes NaN and infinities as strings. None for what is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return None
