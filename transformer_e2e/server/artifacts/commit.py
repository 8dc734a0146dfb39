"""The step that turns what was uploaded into a version: all of it in one transaction, or nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from dataclasses import dataclass

from transformer_e2e.server.artifacts import collections, garbage, labels, manifest, store
from transformer_e2e.server.blobs import BlobStore
from transformer_e2e.server.db import Database
from transformer_e2e.server.wire import Refusal

FULL, INCREMENTAL = "FULL", "INCREMENTAL"


@dataclass(frozen=True)
class Contents:
    """A manifest that is stored, and what it says."""

    md5: str
    entries: list[manifest.Entry]


def announce_manifest(tx: sqlite3.Connection, key: int, kind: str, base: int | None, md5: str | None) -> int:
    """Id of a new manifest of the artifact; `md5` None means that its bytes will be announced later."""
    cursor = tx.execute(
        "INSERT INTO artifact_manifests (artifact_id, kind, base_artifact_id, md5) VALUES (?, ?, ?, ?)",
        (key, kind, base, md5),
    )
    store.claim(tx, key, [md5] if md5 else [])
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def complete_manifest(tx: sqlite3.Connection, manifest_id: int, base: int | None, md5: str | None) -> int:
    """Announce the bytes of a manifest; returns its artifact's id. Refusal 400 for an unknown manifest."""
    row = tx.execute(
        "UPDATE artifact_manifests SET md5 = coalesce(?, md5), "
        "base_artifact_id = coalesce(?, base_artifact_id) WHERE id = ? RETURNING artifact_id",
        (md5, base, manifest_id),
    ).fetchone()
    if row is None:
        raise Refusal(400, "there is no such manifest; its artifact may have been deleted")
    store.claim(tx, row["artifact_id"], [md5] if md5 else [])
    return int(row["artifact_id"])


def commit(db: Database, blobs: BlobStore, key: int) -> None:
    """Make a pending artifact the next version of its collection, `latest` and whatever aliases it wanted.

    Refusal 400, and nothing changed, if its manifest is missing or names content that is not stored.
    Committing again changes nothing, so a client whose answer was lost may repeat it.
    """
    with db.read() as conn:
        if store.get(conn, key)["state"] == "COMMITTED":
            return
        parts = conn.execute(
            "SELECT * FROM artifact_manifests WHERE artifact_id = ? AND md5 IS NOT NULL ORDER BY id", (key,)
        ).fetchall()
        base = _base(conn, parts)
    contents = _contents(db, blobs, key, parts, base)
    with db.write() as tx:
        if store.get(tx, key)["state"] == "COMMITTED":
            return
        _check_stored(blobs, contents)
        spare = store.claimed(tx, key)
        _fix(tx, key, contents)
        spare -= store.claimed(tx, key)
    garbage.collect(db, blobs, spare)


def _base(conn: sqlite3.Connection, parts: list[sqlite3.Row]) -> str | None:
    """MD5 of the manifest that an incremental artifact adds to; None if it adds to nothing."""
    for part in parts:
        if part["kind"] == INCREMENTAL and part["base_artifact_id"] is not None:
            found = store.find(conn, part["base_artifact_id"])
            if found is None:
                raise Refusal(400, "the version that this artifact adds to was deleted; log it in full")
            return str(found["manifest_md5"])
    return None


def _contents(
    db: Database, blobs: BlobStore, key: int, parts: list[sqlite3.Row], base: str | None
) -> Contents:
    """The one manifest of the artifact: the last full one with all that was added to it."""
    full = [number for number, part in enumerate(parts) if part["kind"] == FULL]
    chain = [part["md5"] for part in parts[full[-1] if full else 0 :]]
    chain = [base, *chain] if base is not None else chain
    if not chain:
        raise Refusal(400, "the artifact has no manifest; upload one before the commit")
    manifests = [manifest.parse(_read(blobs, md5)) for md5 in chain]
    if len(chain) == 1:
        return Contents(chain[0], manifest.entries(manifests[0]))
    whole = manifest.merged(manifests)
    body = json.dumps(whole).encode()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    with db.write() as tx:
        store.claim(tx, key, [md5])
    blobs.put([body], md5)
    return Contents(md5, manifest.entries(whole))


def _read(blobs: BlobStore, md5: str) -> bytes:
    try:
        return blobs.path(md5).read_bytes()
    except FileNotFoundError:
        raise Refusal(400, "the artifact's manifest was not uploaded; upload it, then commit again") from None


def _check_stored(blobs: BlobStore, contents: Contents) -> None:
    named = [entry for entry in contents.entries if entry.md5 is not None]
    missing = [entry.name for entry in named if blobs.size(str(entry.md5)) is None]
    if missing:
        raise Refusal(
            400,
            f"{len(missing)} of {len(named)} files of the artifact are not stored (first: {missing[0]!r}); "
            "no version was made; log the artifact again",
        )


def _fix(tx: sqlite3.Connection, key: int, contents: Contents) -> None:
    row = store.get(tx, key)
    membership = collections.add_member(tx, row["sequence_id"], key)
    labels.give_aliases(tx, membership, [*json.loads(row["wanted_aliases"]), labels.LATEST])
    tx.execute("DELETE FROM artifact_blobs WHERE artifact_id = ?", (key,))
    store.claim(tx, key, {contents.md5, *(entry.md5 for entry in contents.entries if entry.md5)})
    tx.execute("DELETE FROM artifact_manifests WHERE artifact_id = ?", (key,))
    tx.executemany(
        "INSERT INTO artifact_files (artifact_id, name, digest, md5, ref, size) VALUES (?, ?, ?, ?, ?, ?)",
        [(key, entry.name, entry.digest, entry.md5, entry.ref, entry.size) for entry in contents.entries],
    )
    tx.execute(
        "UPDATE artifacts SET state = 'COMMITTED', version_index = ?, size = ?, file_count = ?, "
        "manifest_md5 = ?, updated_at = ? WHERE id = ?",
        (
            membership["version_index"],
            sum(entry.size for entry in contents.entries),
            len(contents.entries),
            contents.md5,
            time.time(),
            key,
        ),
    )
