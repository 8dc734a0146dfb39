"""How many trials a sweep will have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformer_e2e.errors import ConfigError
from transformer_e2e.search.space import space_of
from transformer_e2e.search.spec import normalised, problems


def point_count(config: Mapping[str, Any]) -> int | None:
    """The trials after which `suggest` ends by itself: grid points or run_cap, whichever is less; None =
    endless.

    Raises ConfigError for a spec with problems.
    """
    ConfigError.raise_if(problems(config), "invalid sweep spec")
    spec = normalised(config)
    limits = [spec.get("run_cap"), space_of(spec).size if spec["method"] == "grid" else None]
    return min((limit for limit in limits if limit is not None), default=None)
