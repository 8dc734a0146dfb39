"""Aliases, each naming one version of a collection, and tags, which any number of things may share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from transformer_e2e.server.artifacts import collections
from transformer_e2e.server.wire import Refusal

LATEST = "latest"


def give_aliases(tx: sqlite3.Connection, membership: sqlite3.Row, aliases: Iterable[str]) -> None:
    """Point the aliases at this version, away from whatever version of the collection had them."""
    for alias in aliases:
        check_alias(alias)
        tx.execute(
            "INSERT INTO artifact_aliases (collection_id, membership_id, alias) VALUES (?, ?, ?) "
            "ON CONFLICT (collection_id, alias) DO UPDATE SET membership_id = excluded.membership_id",
            (membership["collection_id"], membership["id"], alias),
        )


def check_alias(alias: Any) -> None:
    if not isinstance(alias, str) or not alias or set(alias) & set("/:"):
        raise Refusal(400, f"{alias!r} is no alias; use a word without '/' and ':'")
    if collections.is_version_name(alias):
        raise Refusal(400, f"the alias {alias!r} is a version number, which only the server gives")


def take_aliases(tx: sqlite3.Connection, membership: sqlite3.Row, aliases: Iterable[str]) -> None:
    """Remove those of the aliases that point at this version."""
    tx.executemany(
        "DELETE FROM artifact_aliases WHERE membership_id = ? AND alias = ?",
        [(membership["id"], alias) for alias in aliases],
    )


def repoint_latest(tx: sqlite3.Connection, collection_id: int) -> None:
    """If no version is `latest` (it was deleted), the newest one left becomes it."""
    if tx.execute(
        "SELECT 1 FROM artifact_aliases WHERE collection_id = ? AND alias = ?", (collection_id, LATEST)
    ).fetchone():
        return
    newest = tx.execute(
        "SELECT * FROM artifact_memberships WHERE collection_id = ? ORDER BY version_index DESC LIMIT 1",
        (collection_id,),
    ).fetchone()
    if newest is not None:
        give_aliases(tx, newest, [LATEST])


def aliases_of(conn: sqlite3.Connection, membership_id: int) -> list[sqlite3.Row]:
    return conn.execute(
        "SELECT * FROM artifact_aliases WHERE membership_id = ? ORDER BY id", (membership_id,)
    ).fetchall()


def tags_of(conn: sqlite3.Connection, owner: str, key: int) -> list[sqlite3.Row]:
    """Tags of an artifact (owner `artifact_id`) or of a collection (`collection_id`)."""
    return conn.execute(f"SELECT * FROM artifact_tags WHERE {owner} = ? ORDER BY id", (key,)).fetchall()


def tag(tx: sqlite3.Connection, owner: str, key: int, names: Iterable[str]) -> None:
    tx.executemany(
        f"INSERT INTO artifact_tags ({owner}, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(key, name) for name in names],
    )


def untag(tx: sqlite3.Connection, owner: str, key: int, names: Iterable[str]) -> None:
    tx.executemany(
        f"DELETE FROM artifact_tags WHERE {owner} = ? AND name = ?", [(key, name) for name in names]
    )


def tag_names(given: Any) -> list[str]:
    """The names in a list of TagInput objects; None is an empty list, anything else a Refusal 400."""
    names: list[Any] = [item.get("tagName") if isinstance(item, dict) else item for item in given or ()]
    if not all(isinstance(name, str) and name for name in names):
        raise Refusal(400, f"tags must be words, not {given!r}")
    return names


def alias_names(given: Any) -> list[str]:
    """The aliases in a list of ArtifactAliasInput objects, checked; None is an empty list."""
    names: list[Any] = [item.get("alias") if isinstance(item, dict) else item for item in given or ()]
    for name in names:
        check_alias(name)
    return names
