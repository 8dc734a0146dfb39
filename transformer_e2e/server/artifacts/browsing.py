"""GraphQL fields that list and find: types, collections, versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.artifacts import collections, labels, listing, store
from transformer_e2e.server.artifacts.ids import collection_key
from transformer_e2e.server.connection import page
from transformer_e2e.server.runs.store import project_by_id
from transformer_e2e.server.wire import encode_id, iso

Row = sqlite3.Row
Collection = dict[str, Any]


def _view(row: Row | None) -> Collection | None:
    return None if row is None else collections.view(row)


def _collection_by_id(_parent: None, info: Any, id: str) -> Collection | None:
    with info.context.db.read() as conn:
        return _view(collections.find_by_id(conn, collection_key(id)))


def _membership_by_name(parent: Row, info: Any, name: str) -> Row | None:
    with info.context.db.read() as conn:
        return collections.named_member(conn, parent["id"], name)


def _artifact_by_name(parent: Row, info: Any, name: str) -> Row | None:
    with info.context.db.read() as conn:
        membership = collections.named_member(conn, parent["id"], name)
        return None if membership is None else store.find(conn, membership["artifact_id"])


def _collection_by_name(parent: Row, info: Any, name: str) -> Collection | None:
    with info.context.db.read() as conn:
        return _view(collections.find(conn, parent["id"], name))


def _collection_of_type(parent: Row, info: Any, name: str) -> Collection | None:
    with info.context.db.read() as conn:
        row = collections.find(conn, parent["project_id"], name)
    return _view(row) if row is not None and row["type_id"] == parent["id"] else None


def _types(parent: Row, info: Any, after: str | None = None, first: int | None = None, **_: Any) -> Any:
    with info.context.db.read() as conn:
        found = listing.types(conn, parent["id"])
    return page(found, first, after)


def _type_by_name(parent: Row, info: Any, name: str) -> Row | None:
    with info.context.db.read() as conn:
        return next((row for row in listing.types(conn, parent["id"]) if row["name"] == name), None)


def _project_collections(parent: Row, info: Any, **how: Any) -> dict[str, Any]:
    with info.context.db.read() as conn:
        found = listing.collections_of(conn, "project_id", parent["id"])
    return _collection_page(found, **how)


def _type_collections(parent: Row, info: Any, **how: Any) -> dict[str, Any]:
    with info.context.db.read() as conn:
        found = listing.collections_of(conn, "type_id", parent["id"])
    return _collection_page(found, **how)


def _collection_page(
    found: list[Row],
    filters: str | None = None,
    order: str | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    chosen = listing.arranged(found, listing.COLLECTION_FIELDS, filters, order)
    return page([collections.view(row) for row in chosen], first, after)


def _versions(
    parent: Collection,
    info: Any,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
    filters: str | None = None,
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        found = listing.versions(conn, parent["id"])
    connection = page(listing.arranged(found, listing.VERSION_FIELDS, filters, order), first, after)
    for edge in connection["edges"]:
        edge["version"] = f"v{edge['node']['member_version']}"
    return connection


def _project(parent: Collection, info: Any) -> Row:
    with info.context.db.read() as conn:
        return project_by_id(conn, parent["project_id"])


def _default_type(parent: Collection, info: Any) -> Row:
    with info.context.db.read() as conn:
        return collections.type_of(conn, parent["id"])


def _tags(parent: Collection, info: Any, after: str | None = None, first: int | None = None) -> Any:
    with info.context.db.read() as conn:
        found = labels.tags_of(conn, "collection_id", parent["id"])
    return page(found, first, after)


def _aliases(parent: Collection, info: Any, after: str | None = None, first: int | None = None) -> Any:
    with info.context.db.read() as conn:
        found = listing.aliases(conn, parent["id"])
    return page(found, first, after)


def _member(parent: Collection, info: Any, aliasName: str | None = None) -> Row | None:
    with info.context.db.read() as conn:
        return collections.member(conn, parent["id"], aliasName)


def _latest(parent: Collection, info: Any) -> Row | None:
    with info.context.db.read() as conn:
        membership = collections.member(conn, parent["id"], labels.LATEST)
        return None if membership is None else store.find(conn, membership["artifact_id"])


_COLLECTION: dict[str, Callable[..., Any]] = {
    "id": lambda parent, info: encode_id("ArtifactCollection", parent["id"]),
    "state": lambda parent, info: "READY",
    "createdAt": lambda parent, info: iso(parent["created_at"]),
    "updatedAt": lambda parent, info: iso(parent["updated_at"]),
    "project": _project,
    "defaultArtifactType": _default_type,
    "tags": _tags,
    "aliases": _aliases,
    "artifacts": _versions,
    "artifactMembership": _member,
}
RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Query": {"artifactCollection": _collection_by_id},
    "Project": {
        "artifact": _artifact_by_name,
        "artifactCollectionMembership": _membership_by_name,
        "artifactCollection": _collection_by_name,
        "artifactCollections": _project_collections,
        "artifactType": _type_by_name,
        "artifactTypes": _types,
    },
    "ArtifactType": {
        "id": lambda parent, info: encode_id("ArtifactType", parent["id"]),
        "createdAt": lambda parent, info: iso(parent["created_at"]),
        "artifactCollection": _collection_of_type,
        "artifactCollections": _type_collections,
    },
    collections.SEQUENCE: {
        **_COLLECTION,
        "latestArtifact": _latest,
        "digestAlgorithm": lambda parent, info: "MANIFEST_MD5",
    },
    collections.PORTFOLIO: _COLLECTION,
}
