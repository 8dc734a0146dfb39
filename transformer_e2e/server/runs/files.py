"""GraphQL fields of the files of a run: announcing, listing and deleting them."""

from __future__ import annotations

import base64
import posixpath
import sqlite3
from collections.abc import Callable
from typing import Any

from transformer_e2e.server import auth
from transformer_e2e.server.connection import page
from transformer_e2e.server.context import Context
from transformer_e2e.server.runs import file_transfer, files_store, store
from transformer_e2e.server.wire import Refusal, decode_id, encode_id, iso


def _create(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """Where to put the bytes of each named file."""
    context: Context = info.context
    with context.db.write() as tx:
        run = _named_run(tx, input)
        declared = [
            (name, files_store.declare(tx, run["id"], normalised(name))) for name in input.get("files") or []
        ]
    return {
        "runID": encode_id("Run:v1", run["name"], run["project_name"], run["entity_name"]),
        "uploadHeaders": [],
        "files": [
            {"name": name, "uploadUrl": _signed(context, "PUT", file_id, normalised(name))}
            for name, file_id in declared
        ],
    }


def normalised(name: str) -> str:
    """`./a/b` as `a/b`. Raises Refusal 400 for a name that would leave the run's folder."""
    path = posixpath.normpath(str(name).replace("\\", "/"))
    if not name or path.startswith(("/", "../")) or path in ("..", "."):
        raise Refusal(400, f"{name!r} is not a path inside a run's folder")
    return path


def _signed(context: Context, method: str, file_id: int, name: str) -> str:
    return auth.sign(file_transfer.url_path(file_id, name), method, context.settings, context.base_url)


def _mark_uploaded(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """The bytes speak for themselves: true if all are here."""
    with info.context.db.read() as conn:
        run = _named_run(conn, input)
        wanted = {normalised(name) for name in input.get("files") or []}
        found = {row["name"] for row in files_store.uploaded(conn, run["id"], wanted)}
    return {"success": wanted <= found}


def _delete(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    ids = [int(decode_id("File", file_id)[0]) for file_id in input.get("files") or []]
    with info.context.db.write() as tx:
        files_store.delete(tx, ids)
    return {"success": True}


def _named_run(conn: sqlite3.Connection, input: dict[str, Any]) -> sqlite3.Row:
    names = (input.get("entityName"), input.get("projectName"), input.get("runName"))
    run = store.find_run(conn, *names)
    if run is None:
        raise Refusal(400, f"there is no run {'/'.join(str(name) for name in names)}")
    return run


def _file_count(run: sqlite3.Row, info: Any) -> int:
    with info.context.db.read() as conn:
        return files_store.count(conn, run["id"])


def _files(
    run: sqlite3.Row,
    info: Any,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
    pattern: str | None = None,
) -> dict[str, Any]:
    """The files whose bytes are here, all or those named."""
    context: Context = info.context
    wanted = [normalised(name) for name in names or []]
    with context.db.read() as conn:
        found = files_store.uploaded(conn, run["id"], wanted, pattern)
    return page([_view(row, context) for row in found], first, after)


def _view(file: sqlite3.Row, context: Context) -> dict[str, Any]:
    url = _signed(context, "GET", file["id"], file["name"])
    return {
        "id": encode_id("File", file["id"]),
        "name": file["name"],
        "displayName": file["name"],
        "url": url,
        "directUrl": url,
        "sizeBytes": file["size"],
        "mimetype": file_transfer.mime_type(file["name"]),
        "md5": base64.b64encode(bytes.fromhex(file["digest"])).decode(),
        "updatedAt": iso(file["updated_at"]),
    }


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Mutation": {
        "createRunFiles": _create,
        "markRunFilesUploaded": _mark_uploaded,
        "deleteFiles": _delete,
    },
    "Run": {"fileCount": _file_count, "files": _files},
}
