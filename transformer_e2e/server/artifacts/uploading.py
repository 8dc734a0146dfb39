"""GraphQL mutations in the order in which a client logs an artifact: announce, upload, commit; and use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.artifacts import collections, commit, labels, lineage, store
from transformer_e2e.server.artifacts.ids import artifact_key, manifest_key
from transformer_e2e.server.artifacts.reading import upload_url
from transformer_e2e.server.blobs import BlobRefused, hex_md5
from transformer_e2e.server.context import Context
from transformer_e2e.server.runs.store import ensure_project, find_run
from transformer_e2e.server.wire import Refusal, encode_id

Input = dict[str, Any]


def _create(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    """CreateArtifact: PENDING if the client shall upload it, COMMITTED if its content is there already."""
    names = input.get("artifactCollectionNames") or [input.get("artifactCollectionName")]
    wanted = collections.Kind(collections.SEQUENCE, input.get("artifactTypeName") or "")
    draft = _draft(input)
    with info.context.db.write() as tx:
        run_id = _run(tx, input) if input.get("runName") else None
        project_id = ensure_project(tx, input.get("entityName"), input.get("projectName"))
        sequence = collections.ensure(tx, project_id, names[0], wanted)
        key = store.announce(tx, sequence, run_id, draft)
        return {"artifact": store.get(tx, key)}


def _draft(input: Input) -> store.Draft:
    digest = input.get("digest")
    if not isinstance(digest, str) or not digest:
        raise Refusal(400, f"an artifact is announced with the digest of its content, not {digest!r}")
    return store.Draft(
        digest=digest,
        aliases=tuple(labels.alias_names(input.get("aliases"))),
        tags=tuple(labels.tag_names(input.get("tags"))),
        description=input.get("description"),
        metadata=input.get("metadata"),
        client_id=input.get("clientID") or None,
        distributed_id=input.get("distributedID") or None,
        history_step=input.get("historyStep"),
        ttl_seconds=store.kept_ttl(input.get("ttlDurationSeconds")),
        deduplicate=input.get("enableDigestDeduplication") is not False,
    )


def _run(conn: sqlite3.Connection, input: Input) -> int:
    names = input.get("entityName"), input.get("projectName"), input.get("runName")
    row = find_run(conn, *names)
    if row is None:
        raise Refusal(400, f"there is no run {names[2]!r} in this project; it may have been deleted")
    return int(row["id"])


def _create_manifest(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    """CreateArtifactManifest: without a digest it only announces that one will come."""
    key, base, md5 = artifact_key(input.get("artifactID")), _base(input), _manifest_md5(input)
    with info.context.db.write() as tx:
        _check_pending(tx, key)
        manifest_id = commit.announce_manifest(tx, key, input.get("type") or commit.FULL, base, md5)
    return _manifest_payload(info.context, manifest_id, md5)


def _update_manifest(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    manifest_id, md5 = manifest_key(input.get("artifactManifestID")), _manifest_md5(input)
    with info.context.db.write() as tx:
        _check_pending(tx, commit.complete_manifest(tx, manifest_id, _base(input), md5))
    return _manifest_payload(info.context, manifest_id, md5)


def _check_pending(conn: sqlite3.Connection, key: int) -> None:
    if store.get(conn, key)["state"] != "PENDING":
        raise Refusal(400, "the artifact is committed and its content can no longer change; make a new draft")


def _base(input: Input) -> int | None:
    return artifact_key(input["baseArtifactID"]) if input.get("baseArtifactID") else None


def _manifest_md5(input: Input) -> str | None:
    return _hex(input["digest"]) if input.get("digest") else None


def _hex(digest: Any) -> str:
    try:
        return hex_md5(digest if isinstance(digest, str) else "")
    except BlobRefused as error:
        raise Refusal(400, str(error)) from None


def _manifest_payload(context: Context, manifest_id: int, md5: str | None) -> dict[str, Any]:
    url = upload_url(context, md5) if md5 else None
    file: dict[str, Any] = {"id": str(manifest_id), "uploadUrl": url, "uploadHeaders": []}
    return {"artifactManifest": {"id": encode_id("ArtifactManifestDraft", manifest_id), "file": file}}


def _create_files(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    """CreateArtifactFiles: an upload URL for each file in the order given; none for content that is stored.

    The content is claimed in the same transaction that looks for it, so it cannot be freed before the commit.
    """
    context = info.context
    given: list[Input] = input.get("artifactFiles") or []
    wanted = [(artifact_key(one.get("artifactID")), _hex(one.get("md5")), one.get("name")) for one in given]
    with context.db.write() as tx:
        artifacts = {key: store.get(tx, key) for key, _, _ in wanted}
        for key, md5, _ in wanted:
            store.claim(tx, key, [md5])
        here = {md5 for _, md5, _ in wanted if context.blobs.size(md5) is not None}
    nodes: list[dict[str, Any]] = [
        {
            "name": name,
            "displayName": name,
            "storagePath": f"wandb_artifacts/{md5}",
            "uploadUrl": None if md5 in here else upload_url(context, md5),
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": artifacts[key],
        }
        for key, md5, name in wanted
    ]
    return {"files": {"edges": [{"node": node} for node in nodes]}}


def _commit(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    key = artifact_key(input.get("artifactID"))
    commit.commit(info.context.db, info.context.blobs, key)
    with info.context.db.read() as conn:
        return {"artifact": store.get(conn, key)}


def _use(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    key = artifact_key(input.get("artifactID"))
    with info.context.db.write() as tx:
        artifact = store.get(tx, key)
        lineage.record(tx, _run(tx, input), key, "input")
    return {"artifact": artifact}


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Mutation": {
        "createArtifact": _create,
        "createArtifactManifest": _create_manifest,
        "updateArtifactManifest": _update_manifest,
        "createArtifactFiles": _create_files,
        "commitArtifact": _commit,
        "useArtifact": _use,
    }
}
