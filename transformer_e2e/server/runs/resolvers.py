"""GraphQL fields of users, projects and runs, from the files that answer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformer_e2e.server.runs import bucket, files, lines, projects, run_fields, viewer


def _merged() -> dict[str, dict[str, Callable[..., Any]]]:
    merged: dict[str, dict[str, Callable[..., Any]]] = {}
    for part in (viewer, projects, bucket, run_fields, lines, files):
        for type_name, fields in part.RESOLVERS.items():
            merged.setdefault(type_name, {}).update(fields)
    return merged


RESOLVERS = _merged()
