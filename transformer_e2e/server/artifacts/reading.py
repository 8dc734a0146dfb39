"""GraphQL fields of artifacts, their versions' memberships and their files."""

from __future__ import annotations

import mimetypes
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from transformer_e2e.server import auth
from transformer_e2e.server.artifacts import collections, labels, lineage, store
from transformer_e2e.server.artifacts.ids import artifact_key
from transformer_e2e.server.blobs import blob_path
from transformer_e2e.server.connection import page
from transformer_e2e.server.context import Context
from transformer_e2e.server.runs.store import run_by_id
from transformer_e2e.server.wire import encode_id, iso

Row = sqlite3.Row
NOT_LIMITED = -2  # W&B's value of a time to live that deletes nothing


def _artifact(_parent: None, info: Any, id: str) -> Row | None:
    with info.context.db.read() as conn:
        return store.find(conn, artifact_key(id))


def _client_id_mapping(_parent: None, info: Any, clientID: str) -> dict[str, str] | None:
    with info.context.db.read() as conn:
        key = store.by_client_id(conn, clientID)
    return None if key is None else {"serverID": encode_id("Artifact", key)}


def _type(parent: Row, info: Any) -> Row:
    with info.context.db.read() as conn:
        return collections.type_of(conn, parent["sequence_id"])


def _sequence(parent: Row, info: Any) -> dict[str, Any]:
    with info.context.db.read() as conn:
        return collections.view(collections.by_id(conn, parent["sequence_id"]))


def _memberships(
    parent: Row, info: Any, after: str | None = None, first: int | None = None
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        found = collections.memberships_of(conn, parent["id"])
    return page(found, first, after)


def _aliases(parent: Row, info: Any) -> list[Row]:
    with info.context.db.read() as conn:
        memberships = collections.memberships_of(conn, parent["id"])
        return [alias for row in memberships for alias in labels.aliases_of(conn, row["id"])]


def _tags(parent: Row, info: Any) -> list[Row]:
    with info.context.db.read() as conn:
        return labels.tags_of(conn, "artifact_id", parent["id"])


def _manifest(parent: Row, info: Any) -> dict[str, Any] | None:
    md5 = parent["manifest_md5"]
    if md5 is None:
        return None
    url = download_url(info.context, md5)
    return {"id": encode_id("ArtifactManifest", parent["id"]), "digest": md5, "file": {"directUrl": url}}


def download_url(context: Context, md5: str) -> str:
    return auth.sign(blob_path(md5), "GET", context.settings, context.base_url)


def upload_url(context: Context, md5: str) -> str:
    return auth.sign(blob_path(md5), "PUT", context.settings, context.base_url)


def _files(
    key: int,
    info: Any,
    names: Sequence[str] | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        connection = page(store.files_of(conn, key, names), first, after)
    for edge in connection["edges"]:
        edge["node"] = _file(info.context, edge["node"])
    return connection


def _file(context: Context, row: Row) -> dict[str, Any]:
    url = row["ref"] if row["md5"] is None else download_url(context, row["md5"])
    return {
        "id": encode_id("ArtifactFile", row["artifact_id"], row["name"]),
        "name": row["name"],
        "displayName": row["name"],
        "url": url,
        "directUrl": url,
        "sizeBytes": row["size"],
        "storagePath": f"wandb_artifacts/{row['md5']}",
        "mimetype": mimetypes.guess_type(row["name"])[0] or "application/octet-stream",
        "md5": row["digest"],
        "digest": row["digest"],
    }


def _created_by(parent: Row, info: Any) -> dict[str, Any] | None:
    if parent["run_id"] is None:
        return None
    with info.context.db.read() as conn:
        row = run_by_id(conn, parent["run_id"])
    return None if row is None else {"__typename": "Run", **dict(row)}


def _used_by(parent: Row, info: Any, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    with info.context.db.read() as conn:
        runs = lineage.runs_of(conn, parent["id"], "input")
    return page(runs, first, after)


def _run_artifacts(role: str) -> Callable[..., dict[str, Any]]:
    def resolve(parent: Row, info: Any, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        with info.context.db.read() as conn:
            found = lineage.artifacts_of(conn, parent["id"], role)
        return page(found, first, after)

    return resolve


def _member_aliases(parent: Row, info: Any) -> list[Row]:
    with info.context.db.read() as conn:
        return labels.aliases_of(conn, parent["id"])


def _member_collection(parent: Row, info: Any) -> dict[str, Any]:
    with info.context.db.read() as conn:
        return collections.view(collections.by_id(conn, parent["collection_id"]))


def _member_artifact(parent: Row, info: Any) -> Row | None:
    with info.context.db.read() as conn:
        return store.find(conn, parent["artifact_id"])


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Query": {"artifact": _artifact, "clientIDMapping": _client_id_mapping},
    "Run": {"outputArtifacts": _run_artifacts("output"), "inputArtifacts": _run_artifacts("input")},
    "Artifact": {
        "id": lambda parent, info: encode_id("Artifact", parent["id"]),
        "digestAlgorithm": lambda parent, info: "MANIFEST_MD5",
        "commitHash": lambda parent, info: parent["manifest_md5"],
        "ttlDurationSeconds": lambda parent, info: parent["ttl_seconds"] or NOT_LIMITED,
        "ttlIsInherited": lambda parent, info: parent["ttl_seconds"] is None,
        "createdAt": lambda parent, info: iso(parent["created_at"]),
        "updatedAt": lambda parent, info: iso(parent["updated_at"]),
        "artifactType": _type,
        "artifactSequence": _sequence,
        "artifactMemberships": _memberships,
        "aliases": _aliases,
        "tags": _tags,
        "currentManifest": _manifest,
        "files": lambda parent, info, **which: _files(parent["id"], info, **which),
        "createdBy": _created_by,
        "usedBy": _used_by,
    },
    "ArtifactCollectionMembership": {
        "id": lambda parent, info: encode_id("ArtifactCollectionMembership", parent["id"]),
        "createdAt": lambda parent, info: iso(parent["created_at"]),
        "aliases": _member_aliases,
        "artifactCollection": _member_collection,
        "artifact": _member_artifact,
        "files": lambda parent, info, **which: _files(parent["artifact_id"], info, **which),
    },
    "ArtifactAlias": {
        "id": lambda parent, info: encode_id("ArtifactAlias", parent["id"]),
        "artifactCollection": _member_collection,
    },
    "Tag": {"id": lambda parent, info: encode_id("Tag", parent["id"])},
}
