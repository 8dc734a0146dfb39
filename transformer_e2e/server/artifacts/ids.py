"""Row ids out of the opaque ids that clients hold."""

from __future__ import annotations

from typing import Any

from transformer_e2e.server.wire import Refusal, decode_id


def artifact_key(encoded: Any) -> int:
    """Row id of an artifact; Refusal 400 for the id of anything else."""
    return _key("Artifact", encoded)


def collection_key(encoded: Any) -> int:
    return _key("ArtifactCollection", encoded)


def manifest_key(encoded: Any) -> int:
    return _key("ArtifactManifestDraft", encoded)


def _key(kind: str, encoded: Any) -> int:
    parts = decode_id(kind, encoded)
    if len(parts) != 1 or not parts[0].isdigit():
        raise Refusal(400, f"{encoded!r} is not the id of an {kind}")
    return int(parts[0])
