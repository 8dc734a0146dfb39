"""Freeing blobs that nothing names any more.

An artifact names its blobs in the table `artifact_blobs` from before they are uploaded; a run's file names
its blob in `run_files`. Looking and removing happen under the database's write lock, where nothing can begin
to name a blob meanwhile.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

from transformer_e2e.server.artifacts import store
from transformer_e2e.server.blobs import BlobStore
from transformer_e2e.server.db import Database

ABANDONED_AFTER = 7 * 24 * 3600.0  # seconds; a client retries an upload for no longer
_BATCH = 200  # blobs a transaction, so that heartbeats need not wait


def collect(db: Database, blobs: BlobStore, candidates: Iterable[str]) -> int:
    """Remove those of the candidates that nothing names; returns how many.

    Call it after the transaction that stopped naming them: a kill between the two leaves blobs without a
    name, which the next start collects, and never a name without its blob.
    """
    removed = 0
    waiting = sorted(candidates)
    for start in range(0, len(waiting), _BATCH):
        with db.write() as tx:
            unnamed = [md5 for md5 in waiting[start : start + _BATCH] if not _is_named(tx, md5)]
            for md5 in unnamed:
                blobs.remove(md5)
            removed += len(unnamed)
    return removed


def collect_at_start(db: Database, blobs: BlobStore) -> int:
    """Give up uploads that nobody finishes any more and remove every blob without a name.

    Only before the server listens: the file of a run is stored a moment before it is named.
    """
    with db.write() as tx:
        for key in store.abandoned(tx, time.time() - ABANDONED_AFTER):
            store.delete(tx, key)
    return collect(db, blobs, blobs.names())


def _is_named(conn: sqlite3.Connection, md5: str) -> bool:
    return bool(
        conn.execute(
            "SELECT EXISTS (SELECT 1 FROM artifact_blobs WHERE md5 = ?) OR "
            "EXISTS (SELECT 1 FROM run_files WHERE digest = ?)",
            (md5, md5),
        ).fetchone()[0]
    )
