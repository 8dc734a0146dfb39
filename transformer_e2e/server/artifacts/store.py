"""Rows of artifacts, from the first announcement to the deletion. What a commit does is in commit.py."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from transformer_e2e.server.artifacts import collections, labels, lineage
from transformer_e2e.server.wire import Refusal


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a client says of an artifact before it uploads anything."""

    digest: str
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str | None = None
    metadata: str | None = None  # JSON
    client_id: str | None = None
    distributed_id: str | None = None  # the same for all processes that add to one artifact
    history_step: int | None = None
    ttl_seconds: int | None = None  # None: whatever holds for the collection
    deduplicate: bool = True


def get(conn: sqlite3.Connection, key: int) -> sqlite3.Row:
    """The artifact's row; Refusal 400 if there never was one or it was deleted."""
    row = find(conn, key)
    if row is None:
        raise Refusal(400, "there is no such artifact; it may have been deleted")
    return row


def find(conn: sqlite3.Connection, key: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = conn.execute(
        "SELECT * FROM artifacts WHERE id = ? AND state != 'DELETED'", (key,)
    ).fetchone()
    return row


def announce(tx: sqlite3.Connection, sequence: sqlite3.Row, run_id: int | None, draft: Draft) -> int:
    """The id of the artifact that the draft is: a committed one of equal digest, which then gets the draft's
    aliases; one announced before by the same client or the same distributed id; else a new pending one."""
    if (same := _committed_twin(tx, sequence["id"], draft)) is not None:
        membership = collections.membership_of(tx, sequence["id"], same)
        assert membership is not None
        labels.give_aliases(tx, membership, draft.aliases)
    key = same or _announced_before(tx, sequence["id"], draft) or _insert(tx, sequence["id"], run_id, draft)
    if draft.client_id:
        tx.execute(
            "INSERT INTO artifact_clients VALUES (?, ?) ON CONFLICT DO UPDATE SET "
            "artifact_id = excluded.artifact_id",
            (draft.client_id, key),
        )
    if run_id is not None:
        lineage.record(tx, run_id, key, "output")
    labels.tag(tx, "artifact_id", key, draft.tags)
    return key


def _committed_twin(tx: sqlite3.Connection, sequence_id: int, draft: Draft) -> int | None:
    row = tx.execute(
        "SELECT id FROM artifacts WHERE sequence_id = ? AND digest = ? AND state = 'COMMITTED' "
        "ORDER BY version_index DESC LIMIT 1",
        (sequence_id, draft.digest),
    ).fetchone()
    return row["id"] if row and draft.deduplicate else None


def _announced_before(tx: sqlite3.Connection, sequence_id: int, draft: Draft) -> int | None:
    row = tx.execute(
        "SELECT id FROM artifacts WHERE sequence_id = ? AND state = 'PENDING' AND (distributed_id = ? OR "
        "(digest = ? AND id = (SELECT artifact_id FROM artifact_clients WHERE client_id = ?)))",
        (sequence_id, draft.distributed_id, draft.digest, draft.client_id),
    ).fetchone()
    return row["id"] if row else None


def _insert(tx: sqlite3.Connection, sequence_id: int, run_id: int | None, draft: Draft) -> int:
    now = time.time()
    cursor = tx.execute(
        "INSERT INTO artifacts (sequence_id, state, digest, description, metadata, ttl_seconds, history_step,"
        " distributed_id, run_id, wanted_aliases, created_at, updated_at) "
        "VALUES (?, 'PENDING', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sequence_id,
            draft.digest,
            draft.description,
            draft.metadata,
            draft.ttl_seconds,
            draft.history_step,
            draft.distributed_id,
            run_id,
            json.dumps(draft.aliases),
            now,
            now,
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def by_client_id(conn: sqlite3.Connection, client_id: str | None) -> int | None:
    row = conn.execute(
        "SELECT artifact_id FROM artifact_clients WHERE client_id = ?", (client_id,)
    ).fetchone()
    return row["artifact_id"] if row else None


def claim(tx: sqlite3.Connection, key: int, md5s: Iterable[str]) -> None:
    """Keep these blobs, stored already or about to be, for as long as the artifact is there."""
    tx.executemany(
        "INSERT INTO artifact_blobs VALUES (?, ?) ON CONFLICT DO NOTHING", [(key, md5) for md5 in md5s]
    )


def claimed(conn: sqlite3.Connection, key: int) -> set[str]:
    rows = conn.execute("SELECT md5 FROM artifact_blobs WHERE artifact_id = ?", (key,))
    return {row["md5"] for row in rows}


def files_of(conn: sqlite3.Connection, key: int, names: Iterable[str] | None = None) -> list[sqlite3.Row]:
    """The committed entries by name; only `names` of them unless that is None."""
    rows = conn.execute("SELECT * FROM artifact_files WHERE artifact_id = ? ORDER BY name", (key,)).fetchall()
    wanted = None if names is None else set(names)
    return [row for row in rows if wanted is None or row["name"] in wanted]


def kept_ttl(given: int | None) -> int | None:
    """Time to live as it is stored: the client's 0 and -1 mean whatever holds for the collection."""
    return None if given in (None, 0, -1) else given


def update(
    tx: sqlite3.Connection,
    key: int,
    *,
    description: str | None = None,
    metadata: str | None = None,
    ttl_seconds: int | None = None,
) -> None:
    """Change what is given; None leaves a column as it is."""
    tx.execute(
        "UPDATE artifacts SET description = coalesce(?, description), metadata = coalesce(?, metadata), "
        "ttl_seconds = coalesce(?, ttl_seconds), updated_at = ? WHERE id = ?",
        (description, metadata, ttl_seconds, time.time(), key),
    )


def delete(tx: sqlite3.Connection, key: int) -> set[str]:
    """Forget an artifact in all its collections; its row stays, so that its id is never another's.

    Returns the blobs that it held, for garbage.collect once this transaction is on disk.
    """
    held = claimed(tx, key)
    memberships = collections.memberships_of(tx, key)
    for table in (
        "artifact_memberships",
        "artifact_files",
        "artifact_blobs",
        "artifact_manifests",
        "artifact_runs",
        "artifact_clients",
        "artifact_tags",
    ):
        tx.execute(f"DELETE FROM {table} WHERE artifact_id = ?", (key,))
    tx.execute(
        "UPDATE artifacts SET state = 'DELETED', manifest_md5 = NULL, updated_at = ? WHERE id = ?",
        (time.time(), key),
    )
    for row in memberships:
        labels.repoint_latest(tx, row["collection_id"])
    return held


def abandoned(conn: sqlite3.Connection, before: float) -> list[int]:
    """Artifacts announced before that time and never committed."""
    rows = conn.execute(
        "SELECT id FROM artifacts WHERE state = 'PENDING' AND updated_at < ?", (before,)
    ).fetchall()
    return [row["id"] for row in rows]


def delete_collection(tx: sqlite3.Connection, key: int) -> set[str]:
    """Forget a collection; a sequence takes its versions along, a portfolio only its links.

    Returns the blobs as `delete` does.
    """
    row = collections.by_id(tx, key)
    held: set[str] = set()
    members = tx.execute("SELECT id FROM artifacts WHERE sequence_id = ? AND state != 'DELETED'", (key,))
    for artifact in members.fetchall():
        held |= delete(tx, artifact["id"])
    tx.execute("DELETE FROM artifact_memberships WHERE collection_id = ?", (key,))
    tx.execute("DELETE FROM artifact_tags WHERE collection_id = ?", (key,))
    if row["kind"] == collections.SEQUENCE:
        tx.execute("DELETE FROM artifacts WHERE sequence_id = ?", (key,))
    tx.execute("DELETE FROM artifact_collections WHERE id = ?", (key,))
    return held
