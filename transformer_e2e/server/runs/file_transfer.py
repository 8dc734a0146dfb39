"""Bytes of run files, at signed URLs. Unlike an artifact's, their digest is unknown until they are here."""

from __future__ import annotations

import mimetypes
import sqlite3
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transformer_e2e.server import storage_errors
from transformer_e2e.server.blobs import CROSS_ORIGIN, BlobStore, Stored, serve_blob
from transformer_e2e.server.db import Database
from transformer_e2e.server.runs import files_store


class BlobFreed(Exception):
    """Between storing the bytes and naming them, garbage collection found them without a name."""


def url_path(file_id: int, name: str) -> str:
    """The path to be signed. The name only tells people what it is."""
    return f"/run_files/{file_id}/{name}"


def mime_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def routes(db: Database, blobs: BlobStore, may: Callable[[Request], bool]) -> list[BaseRoute]:
    """PUT, GET and OPTIONS of a run's file; 403 when `may` does not accept the URL's signature."""

    async def put(request: Request) -> Response:
        if not may(request):
            return _refused(403, "the signature of this URL is wrong or has expired")
        try:
            stored = await blobs.receive(request.stream())
            kept = await run_in_threadpool(_record, db, blobs, request.path_params["id"], stored)
        except ClientDisconnect:
            return _refused(400, "the connection ended before the body did; nothing was stored")
        except BlobFreed:
            return _refused(503, "the bytes were freed while they came; send them again")
        except (OSError, sqlite3.Error) as error:
            if not storage_errors.is_out_of_space(error):
                raise
            return _refused(503, storage_errors.report(error))
        return JSONResponse({}, headers=CROSS_ORIGIN) if kept else _refused(410, "the file was deleted")

    async def get(request: Request) -> Response:
        if not may(request):
            return _refused(403, "the signature of this URL is wrong or has expired")
        digest = await run_in_threadpool(_digest, db, request.path_params["id"])
        if digest is None:
            return _refused(404, "there is no such file; it may have been deleted")
        return serve_blob(blobs, digest)

    async def options(request: Request) -> Response:
        return Response(headers=CROSS_ORIGIN)

    path = "/run_files/{id:int}/{name:path}"
    return [
        Route(path, put, methods=["PUT"]),
        Route(path, get, methods=["GET"]),
        Route(path, options, methods=["OPTIONS"]),
    ]


def _record(db: Database, blobs: BlobStore, file_id: int, stored: Stored) -> bool:
    with db.write() as tx:
        if blobs.size(stored.md5) is None:  # an artifact of equal content was deleted before this had a name
            raise BlobFreed(stored.md5)
        return files_store.fill(tx, file_id, stored.md5, stored.size)


def _digest(db: Database, file_id: int) -> str | None:
    with db.read() as conn:
        row = files_store.by_id(conn, file_id)
    return None if row is None else row["digest"]


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"errors": [{"message": message}]}, status_code=status, headers=CROSS_ORIGIN)
