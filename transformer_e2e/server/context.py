"""What a request may use."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_e2e.server.blobs import BlobStore
from transformer_e2e.server.db import Database
from transformer_e2e.server.settings import DEFAULT_ENTITY, ServerSettings
from transformer_e2e.server.sweeps.scheduler import Scheduler


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed to every resolver as `info.context`; one a request, its parts shared by all."""

    db: Database
    blobs: BlobStore
    settings: ServerSettings
    scheduler: Scheduler
    base_url: str  # as the client reached us, without a slash at the end
    user: str = DEFAULT_ENTITY
