"""Where settings come from: flags, then the environment, then a YAML file, then defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from transformer_e2e.errors import nearest

# Keys by another name than the setting's own: W&B's names, and a plural.
ALIASES = {
    "WANDB_RUN_PREFIX": "run_prefix",
    "WANDB_PROJECT": "project",
    "WANDB_ENTITY": "entity",
    "PROMPTS": "prompt",
}
ENVIRONMENT = {"WANDB_RUN_PREFIX": "run_prefix", "RUN_NAME": "run_name"}
SEARCH_PREFIX = "HP_SEARCH_"


def split_keys(
    content: Mapping[str, Any], names: Iterable[str], *, in_sweep: bool
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """A file's keys as (settings by field name, HP_SEARCH_ keys, problems).

    `BATCH_SIZE` sets `batch_size`; a WANDB_RUN_PREFIX with the entries `single` and `sweep` gives the
    one that applies. An unknown key or entry is a problem that names what works.
    """
    known = {name.upper(): name for name in names}
    known |= {alias: name for alias, name in ALIASES.items() if name.upper() in known}
    settings: dict[str, Any] = {}
    search: dict[str, Any] = {}
    problems = []
    for key, value in content.items():
        if key.startswith(SEARCH_PREFIX):
            search[key] = value
        elif key in known and known[key] in settings:
            problems.append(f"{key} is another name of {known[key].upper()}; keep one of them")
        elif key in known:
            settings[known[key]] = _prefix_for(value, in_sweep) if key == "WANDB_RUN_PREFIX" else value
            problems += _prefix_problems(value) if key == "WANDB_RUN_PREFIX" else []
        else:
            upper = f"; write it {key.upper()}" if key.upper() in known else nearest(key, known)
            problems.append(f"unknown key {key}{upper}")
    return settings, search, problems


def from_environment() -> dict[str, str]:
    return {name: os.environ[key] for key, name in ENVIRONMENT.items() if os.environ.get(key)}


def _prefix_problems(value: Any) -> list[str]:
    entries = value if isinstance(value, Mapping) else {}
    return [
        f"WANDB_RUN_PREFIX: unknown entry {entry}; its entries are single and sweep"
        for entry in entries
        if entry not in ("single", "sweep")
    ]


def _prefix_for(value: Any, in_sweep: bool) -> Any:
    if isinstance(value, Mapping):
        return value.get("sweep" if in_sweep else "single")
    return value
