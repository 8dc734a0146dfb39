"""GraphQL fields of artifacts: reading, browsing, uploading, editing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.artifacts import browsing, editing, reading, uploading


def _together(*parts: dict[str, dict[str, Callable[..., Any]]]) -> dict[str, dict[str, Callable[..., Any]]]:
    whole: dict[str, dict[str, Callable[..., Any]]] = defaultdict(dict)
    for part in parts:
        for type_name, fields in part.items():
            whole[type_name].update(fields)
    return dict(whole)


RESOLVERS = _together(reading.RESOLVERS, browsing.RESOLVERS, uploading.RESOLVERS, editing.RESOLVERS)
