"""The one SQLite file of a server: many readers, one writer, on disk before anything is answered."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformer_e2e.server import migrations


class Database:
    """Safe to share between threads; one process at a time writes (the server's lock on its root sees to it).

    Opening applies the migrations that are still missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write_lock = threading.RLock()
        self._writing = False
        self._local = threading.local()
        self._writer = self._connect()
        migrations.apply(self._writer)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30.0)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last commits
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the single writer: committed and fsynced at the end, undone on any exception.

        Waits for the writer before it. Not to be nested, and nothing slow belongs inside.
        """
        with self._write_lock:
            if self._writing:
                raise RuntimeError("db.write() inside db.write(): pass the transaction on instead")
            self._writing = True
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:  # a full disk has already ended it
                        self._writer.execute("ROLLBACK")
                    raise
            finally:
                self._writing = False

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent view of what was committed, on this thread's own connection; may be nested."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def close(self) -> None:
        """End the writer; the write-ahead log is folded into the file once the last reader is gone."""
        with self._write_lock:
            self._writer.close()
