"""Collections of artifact versions: sequences, in which they are made, and portfolios, which link them."""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from transformer_e2e.server.wire import Refusal

SEQUENCE, PORTFOLIO = "ArtifactSequence", "ArtifactPortfolio"
_VERSION = re.compile(r"v(\d+)")
_SELECT = (
    "SELECT c.*, t.name AS type FROM artifact_collections AS c JOIN artifact_types AS t ON t.id = c.type_id "
)


@dataclass(frozen=True)
class Kind:
    """Where a new collection goes and what it is."""

    kind: str
    type_name: str


def view(row: sqlite3.Row) -> dict[str, Any]:
    """The row as a GraphQL parent: two types share it, and its kind tells which it is."""
    return {"__typename": row["kind"], **dict(row)}


def find_by_id(conn: sqlite3.Connection, key: int) -> sqlite3.Row | None:
    """The collection's row with its type's name as `type`."""
    row: sqlite3.Row | None = conn.execute(_SELECT + "WHERE c.id = ?", (key,)).fetchone()
    return row


def by_id(conn: sqlite3.Connection, key: int) -> sqlite3.Row:
    """As `find_by_id`; Refusal 400 if there is none."""
    row = find_by_id(conn, key)
    if row is None:
        raise Refusal(400, "there is no such artifact collection; it may have been deleted")
    return row


def find(conn: sqlite3.Connection, project_id: int, name: str) -> sqlite3.Row | None:
    """The project's collection of that name, as in `find_by_id`."""
    row: sqlite3.Row | None = conn.execute(
        _SELECT + "WHERE c.project_id = ? AND c.name = ?", (project_id, name)
    ).fetchone()
    return row


def ensure(tx: sqlite3.Connection, project_id: int, name: str, wanted: Kind) -> sqlite3.Row:
    """The collection, made if new. Refusal 400 if the name is taken by another type or kind of collection."""
    if (row := find(tx, project_id, name)) is None:
        key = _insert(tx, project_id, name, wanted)
        return by_id(tx, key)
    if row["kind"] != wanted.kind:
        verb = "linked to" if wanted.kind == PORTFOLIO else "logged to"
        raise Refusal(400, f"{name!r} is an {row['kind']} and cannot be {verb}; choose another name")
    if row["type"] != wanted.type_name:
        raise Refusal(
            400,
            f"the collection {name!r} holds artifacts of type {row['type']!r}, not {wanted.type_name!r}; "
            "use that type or another name",
        )
    return row


def _insert(tx: sqlite3.Connection, project_id: int, name: str, wanted: Kind) -> int:
    check_name(name)
    now = time.time()
    type_id = ensure_type(tx, project_id, wanted.type_name)
    cursor = tx.execute(
        "INSERT INTO artifact_collections (project_id, kind, name, type_id, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (project_id, wanted.kind, name, type_id, now, now),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def ensure_type(tx: sqlite3.Connection, project_id: int, name: Any) -> int:
    """Id of the project's artifact type of that name, made if new."""
    if not isinstance(name, str) or not name:
        raise Refusal(400, f"{name!r} is no artifact type; give a word such as 'model'")
    tx.execute(
        "INSERT INTO artifact_types (project_id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (project_id, name, time.time()),
    )
    row = tx.execute(
        "SELECT id FROM artifact_types WHERE project_id = ? AND name = ?", (project_id, name)
    ).fetchone()
    return int(row["id"])


def type_of(conn: sqlite3.Connection, key: int) -> sqlite3.Row:
    """The artifact type of a collection."""
    row: sqlite3.Row = conn.execute(
        "SELECT t.* FROM artifact_types AS t JOIN artifact_collections AS c ON c.type_id = t.id "
        "WHERE c.id = ?",
        (key,),
    ).fetchone()
    return row


def check_name(name: Any) -> None:
    """Refuse (400) what could not be asked for as entity/project/name:alias."""
    if not isinstance(name, str) or not name or set(name) & set("/:\\\0"):
        raise Refusal(400, f"{name!r} is no artifact name; use letters, digits, '.', '_' and '-'")


def update(tx: sqlite3.Connection, key: int, name: str | None, description: str | None) -> None:
    """Rename and describe; None leaves either as it is. Refusal 400 for a name that is taken."""
    row = by_id(tx, key)
    if name is not None and name != row["name"]:
        check_name(name)
        if find(tx, row["project_id"], name) is not None:
            raise Refusal(400, f"there is already an artifact collection {name!r}; choose another name")
    tx.execute(
        "UPDATE artifact_collections SET name = coalesce(?, name), description = coalesce(?, description), "
        "updated_at = ? WHERE id = ?",
        (name, description, time.time(), key),
    )


def change_type(tx: sqlite3.Connection, key: int, type_name: str) -> None:
    row = by_id(tx, key)
    tx.execute(
        "UPDATE artifact_collections SET type_id = ?, updated_at = ? WHERE id = ?",
        (ensure_type(tx, row["project_id"], type_name), time.time(), key),
    )


def add_member(tx: sqlite3.Connection, collection_id: int, artifact_id: int) -> sqlite3.Row:
    """Make the artifact the collection's next version (v0 first), unless it is a version of it already."""
    found = membership_of(tx, collection_id, artifact_id)
    if found is not None:
        return found
    version = tx.execute(
        "UPDATE artifact_collections SET next_version = next_version + 1, updated_at = ? WHERE id = ? "
        "RETURNING next_version - 1",
        (time.time(), collection_id),
    ).fetchone()[0]
    tx.execute(
        "INSERT INTO artifact_memberships (collection_id, artifact_id, version_index, created_at) "
        "VALUES (?, ?, ?, ?)",
        (collection_id, artifact_id, version, time.time()),
    )
    found = membership_of(tx, collection_id, artifact_id)
    assert found is not None
    return found


def membership_of(conn: sqlite3.Connection, collection_id: int, artifact_id: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = conn.execute(
        "SELECT * FROM artifact_memberships WHERE collection_id = ? AND artifact_id = ?",
        (collection_id, artifact_id),
    ).fetchone()
    return row


def remove_member(tx: sqlite3.Connection, collection_id: int, artifact_id: int) -> None:
    """The collection no longer has the artifact; its aliases there go too, its version is not given again."""
    tx.execute(
        "DELETE FROM artifact_memberships WHERE collection_id = ? AND artifact_id = ?",
        (collection_id, artifact_id),
    )


def memberships_of(conn: sqlite3.Connection, artifact_id: int) -> list[sqlite3.Row]:
    """The versions that an artifact is: in its sequence first, then in each portfolio that links it."""
    return conn.execute(
        "SELECT * FROM artifact_memberships WHERE artifact_id = ? ORDER BY id", (artifact_id,)
    ).fetchall()


def member(conn: sqlite3.Connection, collection_id: int, alias: str | None) -> sqlite3.Row | None:
    """The version that an alias, `vN` or a digest names; None names `latest`."""
    alias = alias or "latest"
    by_alias = (
        "SELECT m.* FROM artifact_aliases AS a JOIN artifact_memberships AS m ON m.id = a.membership_id "
        "WHERE a.collection_id = ? AND a.alias = ?"
    )
    by_version = "SELECT * FROM artifact_memberships WHERE collection_id = ? AND version_index = ?"
    by_digest = (
        "SELECT m.* FROM artifact_memberships AS m JOIN artifacts AS a ON a.id = m.artifact_id "
        "WHERE m.collection_id = ? AND a.digest = ? ORDER BY m.version_index DESC LIMIT 1"
    )
    version = _VERSION.fullmatch(alias)
    found: sqlite3.Row | None = None
    if version:
        found = conn.execute(by_version, (collection_id, int(version[1]))).fetchone()
    else:
        for query in (by_alias, by_digest):
            found = found or conn.execute(query, (collection_id, alias)).fetchone()
    return found


def named_member(conn: sqlite3.Connection, project_id: int, name: str) -> sqlite3.Row | None:
    """The version that `collection[:alias]` names in a project."""
    collection_name, _, alias = name.partition(":")
    collection = find(conn, project_id, collection_name)
    return member(conn, collection["id"], alias) if collection else None


def is_version_name(alias: str) -> bool:
    return _VERSION.fullmatch(alias) is not None
