"""Lists of types, collections, versions and aliases, and their order."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from transformer_e2e.server.runs.filters import matching
from transformer_e2e.server.wire import Refusal

COLLECTION_FIELDS = ("name", "created_at", "updated_at")
VERSION_FIELDS = ("version_index", "created_at", "updated_at", "size", "digest")


def types(conn: sqlite3.Connection, project_id: int) -> list[sqlite3.Row]:
    return conn.execute(
        "SELECT * FROM artifact_types WHERE project_id = ? ORDER BY id", (project_id,)
    ).fetchall()


def collections_of(conn: sqlite3.Connection, owner: str, key: int) -> list[sqlite3.Row]:
    """Collections of a project (owner `project_id`) or of a type (`type_id`), newest first."""
    return conn.execute(
        f"SELECT * FROM artifact_collections WHERE {owner} = ? ORDER BY id DESC", (key,)
    ).fetchall()


def versions(conn: sqlite3.Connection, collection_id: int) -> list[sqlite3.Row]:
    """Artifacts of a collection, newest version first, each with its version there as `member_version`."""
    return conn.execute(
        "SELECT a.*, m.version_index AS member_version FROM artifact_memberships AS m "
        "JOIN artifacts AS a ON a.id = m.artifact_id WHERE m.collection_id = ? ORDER BY m.version_index DESC",
        (collection_id,),
    ).fetchall()


def aliases(conn: sqlite3.Connection, collection_id: int) -> list[sqlite3.Row]:
    return conn.execute(
        "SELECT * FROM artifact_aliases WHERE collection_id = ? ORDER BY id", (collection_id,)
    ).fetchall()


def arranged(
    rows: Sequence[sqlite3.Row], fields: Sequence[str], filters: str | None, order: str | None
) -> list[sqlite3.Row]:
    """The rows that a Mongo-style filter accepts, sorted by `+field` or `-field` (None: as they are).

    Refusal 400 for a field that rows of this kind do not have or are not ordered by.
    """
    try:
        chosen = matching(rows, filters)
    except IndexError:
        raise Refusal(
            400, "artifacts are filtered by name (collections), state (versions), description and times only"
        ) from None
    if not order:
        return chosen
    field = _snake_case(order.lstrip("+-"))
    if field not in fields:
        raise Refusal(400, f"artifacts cannot be ordered by {field!r}; use one of {', '.join(fields)}")
    return sorted(chosen, key=lambda row: row[field], reverse=order.startswith("-"))


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
