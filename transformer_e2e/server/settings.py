"""What one server process was told at its start; nothing here changes while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from transformer_e2e.server.sweeps.timings import Timings

DEFAULT_ENTITY = "local"  # the one user of an embedded server; other entity names are taken as given
DEFAULT_PROJECT = "uncategorized"  # what W&B calls the project of a run that names none


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of one server. `root` holds everything that must outlive the process."""

    root: Path
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    until_unused: bool = False  # end by itself once nobody holds `users.lock`
    heartbeat_timeout: float = 300.0  # seconds of silence after which a running run counts as crashed
    sweeps: Timings = field(default_factory=Timings)
    api_key: str = field(repr=False)
    secret: bytes = field(repr=False)  # signs blob URLs

    @property
    def database(self) -> Path:
        return self.root / "server.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"
