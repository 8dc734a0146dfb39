"""Blob storage: bytes under the name of their own MD5, and the signed URLs that carry them.

MD5 because W&B clients name file content by it (manifest digests, Content-MD5); it shows damage, not forgery.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transformer_e2e.server import storage_errors

_NAME = re.compile(r"[0-9a-f]{32}")
_BUFFER = 1 << 20
CROSS_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "*",
}


class BlobRefused(Exception):
    """The bytes or the name cannot be accepted; nothing was stored."""


@dataclass(frozen=True)
class Stored:
    md5: str
    size: int


class Incoming:
    """A blob being received: a hidden file that `keep` makes visible, complete and on disk."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._digest = hashlib.md5(usedforsecurity=False)
        self._size = 0
        handle, name = tempfile.mkstemp(dir=store.incoming)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._path = Path(name)

    def write(self, data: bytes | bytearray) -> None:
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._size += len(data)

    def keep(self, expected_md5: str | None) -> Stored:
        """Make the blob visible under its MD5; BlobRefused if that is not `expected_md5` (None = any)."""
        md5 = self._digest.hexdigest()
        if expected_md5 is not None and md5 != expected_md5:
            raise BlobRefused(
                f"the body ({self._size} bytes) has MD5 {md5}, expected {expected_md5}: it was truncated or "
                "damaged on its way; nothing was stored, send it again"
            )
        os.fsync(self._file.fileno())
        target = self._store.path(md5)
        if not target.parent.is_dir():
            target.parent.mkdir(exist_ok=True)
            _sync_directory(target.parent.parent)
        os.replace(self._path, target)
        _sync_directory(target.parent)
        return Stored(md5, self._size)

    def close(self) -> None:
        """Remove whatever `keep` did not make visible."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class BlobStore:
    """Content-addressed files under `root`, owned by one process at a time; any of its threads may call.

    A method that raises (BlobRefused, or OSError from a full or failing disk) has stored nothing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        for leftover in self.incoming.iterdir():
            leftover.unlink()

    def path(self, md5: str) -> Path:
        """Where the blob of that MD5 (32 lower-case hex digits, else BlobRefused) is or would be."""
        if not _NAME.fullmatch(md5):
            raise BlobRefused(f"{md5!r} is no blob name; a blob is named by the 32 hex digits of its MD5")
        return self.root / md5[:2] / md5

    def size(self, md5: str) -> int | None:
        """Bytes of the stored blob, None if there is none."""
        try:
            return self.path(md5).stat().st_size
        except FileNotFoundError:
            return None

    def put(self, chunks: Iterable[bytes], expected_md5: str | None = None) -> Stored:
        """Store the joined chunks; once this returns they survive a power cut."""
        incoming = Incoming(self)
        try:
            for chunk in chunks:
                incoming.write(chunk)
            return incoming.keep(expected_md5)
        finally:
            incoming.close()

    async def receive(self, stream: AsyncIterable[bytes], expected_md5: str | None = None) -> Stored:
        """`put` for a request's body: about 1 MiB of it is in memory at a time, threads wait for the disk."""
        incoming = await run_in_threadpool(Incoming, self)
        try:
            buffer = bytearray()
            async for chunk in stream:
                buffer += chunk
                if len(buffer) >= _BUFFER:
                    await run_in_threadpool(incoming.write, buffer)
                    buffer = bytearray()
            await run_in_threadpool(incoming.write, buffer)
            return await run_in_threadpool(incoming.keep, expected_md5)
        finally:
            incoming.close()

    def remove(self, md5: str) -> None:
        """Forget a blob. The caller knows that nothing names it and that nothing can begin to meanwhile."""
        self.path(md5).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """MD5s of all stored blobs."""
        for path in self.root.glob("??/*"):
            if _NAME.fullmatch(path.name):
                yield path.name


def hex_md5(digest: str) -> str:
    """Hex digits of an MD5 that manifests and Content-MD5 write in base64; BlobRefused for anything else."""
    try:
        raw = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise BlobRefused(f"{digest!r} is no MD5 in base64 (24 characters for 16 bytes)")
    return raw.hex()


def blob_path(md5: str) -> str:
    """Path of the URL that carries the blob, to be signed for GET or PUT."""
    return f"/blobs/{md5}"


def blob_routes(store: BlobStore, may: Callable[[Request], bool]) -> list[BaseRoute]:
    """PUT, GET (with Range) and OPTIONS of /blobs/{md5}; `may` tells whether a request's signature holds.

    403 = it does not, 400 = the body is not what its name says, 404 = no such blob, 503 = the disk is full.
    """

    async def put(request: Request) -> Response:
        if not may(request):
            return _forbidden()
        name = request.path_params["md5"]
        try:
            store.path(name)
            announced = request.headers.get("content-md5")
            if announced and hex_md5(announced) != name:
                raise BlobRefused(f"Content-MD5 {announced} is not the {name} that this URL was made for")
            stored = await store.receive(request.stream(), name)
        except BlobRefused as error:
            return _refusal(400, str(error))
        except ClientDisconnect:
            return _refusal(400, "the connection ended before the body did; nothing was stored")
        except OSError as error:
            if not storage_errors.is_out_of_space(error):
                raise
            return _refusal(503, storage_errors.report(error))
        return JSONResponse({"md5": stored.md5, "size": stored.size}, headers=CROSS_ORIGIN)

    async def get(request: Request) -> Response:
        if not may(request):
            return _forbidden()
        return serve_blob(store, request.path_params["md5"])

    async def options(request: Request) -> Response:
        return Response(headers=CROSS_ORIGIN)

    return [
        Route("/blobs/{md5}", put, methods=["PUT"]),
        Route("/blobs/{md5}", get, methods=["GET"]),
        Route("/blobs/{md5}", options, methods=["OPTIONS"]),
    ]


def serve_blob(store: BlobStore, md5: str) -> Response:
    """The blob or the Range of it that was asked for; 400 for a name no blob can have, 404 if missing."""
    try:
        path = store.path(md5)
        found = path.stat()
    except BlobRefused as error:
        return _refusal(400, str(error))
    except FileNotFoundError:
        return _refusal(404, f"there is no blob {md5}; its artifact may have been deleted")
    return FileResponse(path, stat_result=found, media_type="application/octet-stream", headers=CROSS_ORIGIN)


def _forbidden() -> Response:
    return _refusal(403, "the signature of this URL is wrong or has expired; ask for a new URL")


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"errors": [{"message": message}]}, status_code=status, headers=CROSS_ORIGIN)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
