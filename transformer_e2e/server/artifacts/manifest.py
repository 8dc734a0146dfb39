"""The manifest of an artifact: which name holds which content. Pure; a bad manifest is a Refusal 400."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from transformer_e2e.server.blobs import BlobRefused, hex_md5
from transformer_e2e.server.wire import Refusal, parse_object


@dataclass(frozen=True)
class Entry:
    """One name in an artifact. `md5` (hex) names the stored blob; a reference has `ref` and no blob."""

    name: str
    digest: str
    md5: str | None
    ref: str | None
    size: int


def parse(body: bytes) -> dict[str, Any]:
    """The manifest's JSON object, which has an object `contents`."""
    manifest = parse_object(body.decode(errors="replace"), "the manifest")
    if not isinstance(manifest.get("contents"), dict):
        raise Refusal(400, "the manifest has no object 'contents'")
    return manifest


def entries(manifest: dict[str, Any]) -> list[Entry]:
    """The entries, sorted by name. Names are relative and stay inside: they become paths at download."""
    return [_entry(name, given) for name, given in sorted(manifest["contents"].items())]


def _entry(name: str, given: Any) -> Entry:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        raise Refusal(400, f"the manifest entry {name!r} would leave the folder of a download")
    digest = given.get("digest") if isinstance(given, dict) else None
    if not isinstance(digest, str):
        raise Refusal(400, f"the manifest entry {name!r} has no digest")
    ref, size = given.get("ref"), given.get("size") or 0
    if not isinstance(size, int) or size < 0:
        raise Refusal(400, f"the manifest entry {name!r} has the size {size!r}; bytes are a number from 0")
    try:
        md5 = None if ref else hex_md5(digest)
    except BlobRefused as error:
        raise Refusal(400, f"the manifest entry {name!r}: {error}") from None
    return Entry(name, digest, md5, ref, size)


def merged(manifests: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One manifest with the contents of all; of two entries with one name the later counts."""
    result: dict[str, Any] = {}
    contents: dict[str, Any] = {}
    for manifest in manifests:
        result = {**result, **manifest}
        contents = {**contents, **manifest["contents"]}
    return {**result, "contents": contents}
