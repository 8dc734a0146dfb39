"""The addresses that a client makes up for an artifact's file when the signed URL that it had has expired."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transformer_e2e.server.blobs import BlobStore, serve_blob


def artifact_routes(blobs: BlobStore, may: Callable[[Request], bool]) -> list[BaseRoute]:
    """GET /artifacts/ENTITY/MD5 and /artifactsV2/REGION/ENTITY/PROJECT/COLLECTION/BIRTH_ID/MD5/NAME.

    `may` tells whether the request carries the API key: 401 if not.
    """

    async def get(request: Request) -> Response:
        if not may(request):
            return JSONResponse({"errors": [{"message": "wrong API key"}]}, status_code=401)
        return serve_blob(blobs, request.path_params["md5"])

    return [
        Route("/artifacts/{entity}/{md5}", get, methods=["GET"]),
        Route("/artifactsV2/{origin:path}/{md5}/{name}", get, methods=["GET"]),
    ]
