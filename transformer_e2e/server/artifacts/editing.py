"""GraphQL mutations of what is logged already: descriptions, aliases, tags, links, deletion."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from transformer_e2e.server.artifacts import collections, garbage, labels, store
from transformer_e2e.server.artifacts.ids import artifact_key, collection_key
from transformer_e2e.server.runs.store import ensure_project, find_project
from transformer_e2e.server.wire import Refusal

Input = dict[str, Any]


def _update(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    key = artifact_key(input.get("artifactID"))
    with info.context.db.write() as tx:
        store.get(tx, key)
        store.update(
            tx,
            key,
            description=input.get("description"),
            metadata=input.get("metadata"),
            ttl_seconds=input.get("ttlDurationSeconds"),
        )
        labels.tag(tx, "artifact_id", key, labels.tag_names(input.get("tagsToAdd")))
        labels.untag(tx, "artifact_id", key, labels.tag_names(input.get("tagsToDelete")))
        return {"artifact": store.get(tx, key)}


def _add_aliases(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    with info.context.db.write() as tx:
        for membership, alias in _memberships(tx, input):
            labels.give_aliases(tx, membership, [alias])
    return {"success": True}


def _delete_aliases(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    with info.context.db.write() as tx:
        for membership, alias in _memberships(tx, input):
            labels.take_aliases(tx, membership, [alias])
    return {"success": True}


def _memberships(conn: sqlite3.Connection, input: Input) -> Iterator[tuple[sqlite3.Row, str]]:
    """The artifact as a version of each collection that the input names, with the alias meant there."""
    key = artifact_key(input.get("artifactID"))
    for given in input.get("aliases") or ():
        collection = _collection(conn, given)
        membership = collections.membership_of(conn, collection["id"], key)
        if membership is None:
            raise Refusal(400, f"the artifact is no version of the collection {collection['name']!r}")
        yield membership, given.get("alias")


def _collection(conn: sqlite3.Connection, given: Input) -> sqlite3.Row:
    project = find_project(conn, given.get("entityName"), given.get("projectName"))
    name = given.get("artifactCollectionName")
    found = collections.find(conn, project["id"], name) if project is not None and name else None
    if found is None:
        raise Refusal(400, f"there is no artifact collection {name!r} in {given.get('projectName')!r}")
    return found


def _delete(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    """DeleteArtifact; 409 while it has aliases, unless told to delete these too. Repeating it is no error."""
    key = artifact_key(input.get("artifactID"))
    with info.context.db.write() as tx:
        artifact = store.find(tx, key)
        if artifact is None:
            return {"artifact": None}
        if not input.get("deleteAliases"):
            _check_unnamed(tx, key)
        freed = store.delete(tx, key)
    garbage.collect(info.context.db, info.context.blobs, freed)
    return {"artifact": artifact}


def _check_unnamed(conn: sqlite3.Connection, key: int) -> None:
    memberships = collections.memberships_of(conn, key)
    names = [alias["alias"] for row in memberships for alias in labels.aliases_of(conn, row["id"])]
    if names:
        raise Refusal(
            409, f"the artifact has the aliases {', '.join(names)}; delete it with delete_aliases=True"
        )


def _link(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    """LinkArtifact: the artifact becomes the next version of a portfolio, which is made if it is new."""
    aliases = labels.alias_names(input.get("aliases"))
    with info.context.db.write() as tx:
        artifact = store.get(tx, _linked_key(tx, input))
        if artifact["state"] != "COMMITTED":
            raise Refusal(400, "only a committed artifact can be linked; wait() for it first")
        portfolio = _portfolio(tx, input, collections.type_of(tx, artifact["sequence_id"])["name"])
        membership = collections.add_member(tx, portfolio["id"], artifact["id"])
        labels.give_aliases(tx, membership, [*aliases, labels.LATEST])
    return {"versionIndex": membership["version_index"], "artifactMembership": membership}


def _linked_key(conn: sqlite3.Connection, input: Input) -> int:
    if input.get("artifactID"):
        return artifact_key(input["artifactID"])
    key = store.by_client_id(conn, input.get("clientID"))
    if key is None:
        raise Refusal(400, "the artifact to link was not logged here; log it first")
    return key


def _portfolio(tx: sqlite3.Connection, input: Input, type_name: str) -> sqlite3.Row:
    if input.get("artifactPortfolioID"):
        return collections.by_id(tx, collection_key(input["artifactPortfolioID"]))
    project_id = ensure_project(tx, input.get("entityName"), input.get("projectName"))
    wanted = collections.Kind(collections.PORTFOLIO, type_name)
    return collections.ensure(tx, project_id, input.get("artifactPortfolioName") or "", wanted)


def _unlink(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    portfolio, key = collection_key(input.get("artifactPortfolioID")), artifact_key(input.get("artifactID"))
    with info.context.db.write() as tx:
        if collections.by_id(tx, portfolio)["kind"] != collections.PORTFOLIO:
            raise Refusal(400, "the artifact was made in this collection, not linked; delete it instead")
        collections.remove_member(tx, portfolio, key)
        labels.repoint_latest(tx, portfolio)
    return {"success": True}


def _update_collection(id_name: str) -> Callable[..., dict[str, Any]]:
    def resolve(_parent: None, info: Any, input: Input) -> dict[str, Any]:
        key = collection_key(input.get(id_name))
        with info.context.db.write() as tx:
            collections.update(tx, key, input.get("name"), input.get("description"))
            return {"artifactCollection": collections.view(collections.by_id(tx, key))}

    return resolve


def _move(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    key = collection_key(input.get("artifactSequenceID"))
    with info.context.db.write() as tx:
        collections.change_type(tx, key, input.get("destinationArtifactTypeName") or "")
        return {"artifactCollection": collections.view(collections.by_id(tx, key))}


def _delete_collection(id_name: str) -> Callable[..., dict[str, Any]]:
    def resolve(_parent: None, info: Any, input: Input) -> dict[str, Any]:
        key = collection_key(input.get(id_name))
        with info.context.db.write() as tx:
            collection = collections.view(collections.by_id(tx, key))
            freed = store.delete_collection(tx, key)
        garbage.collect(info.context.db, info.context.blobs, freed)
        return {"artifactCollection": collection}

    return resolve


def _tag_collection(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    with info.context.db.write() as tx:
        key = _collection(tx, input)["id"]
        labels.tag(tx, "collection_id", key, labels.tag_names(input.get("tags")))
        return {"tags": labels.tags_of(tx, "collection_id", key)}


def _untag_collection(_parent: None, info: Any, input: Input) -> dict[str, Any]:
    with info.context.db.write() as tx:
        key = _collection(tx, input)["id"]
        labels.untag(tx, "collection_id", key, labels.tag_names(input.get("tags")))
    return {"success": True}


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Mutation": {
        "updateArtifact": _update,
        "addAliases": _add_aliases,
        "deleteAliases": _delete_aliases,
        "deleteArtifact": _delete,
        "linkArtifact": _link,
        "unlinkArtifact": _unlink,
        "updateArtifactSequence": _update_collection("artifactSequenceID"),
        "updateArtifactPortfolio": _update_collection("artifactPortfolioID"),
        "moveArtifactSequence": _move,
        "deleteArtifactSequence": _delete_collection("artifactSequenceID"),
        "deleteArtifactPortfolio": _delete_collection("artifactPortfolioID"),
        "createArtifactCollectionTagAssignments": _tag_collection,
        "deleteArtifactCollectionTagAssignments": _untag_collection,
    }
}
