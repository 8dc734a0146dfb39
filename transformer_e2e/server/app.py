"""The server's routes: GraphQL, the stream of a running trial's rows, and bytes at signed URLs."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from transformer_e2e.server import auth, graphql, storage_errors
from transformer_e2e.server.artifacts import garbage
from transformer_e2e.server.artifacts.resolvers import RESOLVERS as ARTIFACTS
from transformer_e2e.server.artifacts.routes import artifact_routes
from transformer_e2e.server.blobs import BlobStore, blob_routes
from transformer_e2e.server.context import Context
from transformer_e2e.server.db import Database
from transformer_e2e.server.pages import page_routes
from transformer_e2e.server.runs import file_transfer, filestream, silence
from transformer_e2e.server.runs.resolvers import RESOLVERS as RUNS
from transformer_e2e.server.settings import ServerSettings
from transformer_e2e.server.sweeps.resolvers import RESOLVERS as SWEEPS
from transformer_e2e.server.sweeps.scheduler import Scheduler
from transformer_e2e.server.wire import Refusal

log = logging.getLogger(__name__)


def create_app(settings: ServerSettings) -> Starlette:
    """The server of `settings.root`, which must exist and be held by this process alone.

    Opens the database (and migrates it) at once; `app.state` has `db`, `blobs` and `scheduler`.
    """
    db, blobs = Database(settings.database), BlobStore(settings.blobs)
    scheduler = Scheduler(db, settings.sweeps)
    service = Service(settings, db, blobs, scheduler)

    silence.forgive(db)
    garbage.collect_at_start(db, blobs)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(service.watch_for_silence())
        yield
        watch.cancel()
        scheduler.close()
        db.close()

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/healthz", service.healthz, methods=["GET"]),
            Route("/graphql", service.graphql, methods=["POST"]),
            Route("/files/{entity}/{project}/{run}/file_stream", service.file_stream, methods=["POST"]),
            *file_transfer.routes(db, blobs, partial(auth.check, settings=settings)),
            *blob_routes(blobs, partial(auth.check, settings=settings)),
            *artifact_routes(blobs, partial(auth.has_key, settings=settings)),
            *page_routes(),
        ],
        exception_handlers={Exception: _internal_error},
    )
    app.state.db, app.state.blobs, app.state.scheduler = db, blobs, scheduler
    return app


class Service:
    """The endpoints that need the API key. Slow work happens in worker threads, never in the event loop."""

    def __init__(
        self, settings: ServerSettings, db: Database, blobs: BlobStore, scheduler: Scheduler
    ) -> None:
        self._settings, self._db, self._blobs, self._scheduler = settings, db, blobs, scheduler
        self._schema = graphql.assemble(RUNS, SWEEPS, ARTIFACTS)

    async def healthz(self, request: Request) -> Response:
        return JSONResponse({"ok": True, "pid": os.getpid()})

    async def graphql(self, request: Request) -> Response:
        async def answer(context: Context, body: Any) -> Response:
            found = await run_in_threadpool(graphql.execute, self._schema, body, context)
            return JSONResponse(found.body, status_code=found.status)

        return await self._with_key(request, answer)

    async def file_stream(self, request: Request) -> Response:
        async def answer(context: Context, body: Any) -> Response:
            names = request.path_params
            run = (names["entity"], names["project"], names["run"])
            return JSONResponse(await run_in_threadpool(filestream.receive, context, run, body))

        return await self._with_key(request, answer)

    async def _with_key(self, request: Request, answer: Callable[[Context, Any], Any]) -> Response:
        if not auth.has_key(request, self._settings):
            return _error(401, "wrong API key; this server's key is in the file api_key under its --root")
        try:
            body = await _json_body(request)
            response: Response = await answer(self._context(request), body)
            return response
        except Refusal as refusal:
            return _error(refusal.status, refusal.message)
        except ClientDisconnect:
            return _error(400, "the connection ended before the request did")
        except Exception as error:
            return await _internal_error(request, error)

    def _context(self, request: Request) -> Context:
        return Context(
            db=self._db,
            blobs=self._blobs,
            settings=self._settings,
            scheduler=self._scheduler,
            base_url=str(request.base_url).rstrip("/"),
        )

    async def watch_for_silence(self) -> None:
        """Call runs crashed whose trials have not been heard of for the time-out, until cancelled."""
        while True:
            await asyncio.sleep(min(5.0, self._settings.heartbeat_timeout / 4))
            try:
                crashed = await run_in_threadpool(silence.judge, self._db, self._settings.heartbeat_timeout)
                for run_id in crashed:
                    await run_in_threadpool(self._scheduler.run_ended, run_id)
                await run_in_threadpool(self._scheduler.tidy)
            except Exception as error:  # a full disk, say: the watch must outlive it
                log.error("could not look for crashed runs: %s", error)


async def _json_body(request: Request) -> Any:
    body = await request.body()
    if request.headers.get("content-encoding", "").lower() == "gzip":
        try:
            body = await run_in_threadpool(gzip.decompress, body)
        except (OSError, EOFError, zlib.error) as error:
            raise Refusal(400, f"the body is not gzip, as its Content-Encoding says: {error}") from None
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None


async def _internal_error(request: Request, error: Exception) -> Response:
    # 400 and not 500: the client repeats a 5xx for minutes, and a bug of ours does not heal meanwhile.
    if storage_errors.is_out_of_space(error):
        return _error(503, storage_errors.report(error))
    log.error("internal error in %s %s", request.method, request.url.path, exc_info=error)
    return _error(400, f"internal error in the embedded server: {type(error).__name__}: {error}")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"errors": [{"message": message}]}, status_code=status)
