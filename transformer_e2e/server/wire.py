"""How values look between client and server: ids, times, JSON, and refusals."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any


class Refusal(Exception):
    """A request that is answered with `status` and `message` (which the client shows to its user).

    4xx for what will not heal by itself: the wandb client retries 5xx for minutes.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def encode_id(kind: str, *parts: str | int) -> str:
    """The opaque id of an object: base64 of `kind` and `parts` joined by colons, as W&B's own are.

    encode_id("Run:v1", name, project, entity); encode_id("Artifact", 7) is "Artifact:7" in base64.
    """
    return base64.b64encode(":".join([kind, *map(str, parts)]).encode()).decode()


def decode_id(kind: str, encoded: Any) -> list[str]:
    """The parts that `encode_id(kind, *parts)` was given. Raises Refusal 400 for any other id."""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError, TypeError):
        text = ""
    prefix = f"{kind}:"
    if not text.startswith(prefix):
        raise Refusal(400, f"{encoded!r} is not the id of a {kind.split(':')[0]}")
    return text.removeprefix(prefix).split(":")


def iso(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC, e.g. `2026-01-31T12:00:00.250000Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_json(text: Any, what: str) -> Any:
    """The value of a JSON text; bare NaN and Infinity, which Python clients write, are floats.

    Raises Refusal 400 naming `what`.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise Refusal(400, f"{what} is not JSON: {error}") from None


def parse_object(text: Any, what: str) -> dict[str, Any]:
    """A JSON text that must hold an object; None and "" are an empty one."""
    value = parse_json(text, what) if text else {}
    if not isinstance(value, dict):
        raise Refusal(400, f"{what} must be a JSON object, not {type(value).__name__}")
    return value
