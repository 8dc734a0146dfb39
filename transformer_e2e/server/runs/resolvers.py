"""GraphQL fields of users, projects and runs, from the files that answer them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.runs import bucket, files, lines, projects, run_fields, viewer

RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = defaultdict(dict)
for part in (viewer, projects, bucket, run_fields, lines, files):
    for type_name, fields in part.RESOLVERS.items():
        RESOLVERS[type_name].update(fields)
