"""Where settings come from: flags, then the environment, then a YAML file, then defaults."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.errors import ConfigError, nearest

# Keys by another name than the setting's own: W&B's names, and a plural.
ALIASES = {
    "WANDB_RUN_PREFIX": "run_prefix",
    "WANDB_PROJECT": "project",
    "WANDB_ENTITY": "entity",
    "PROMPTS": "prompt",
}
ENVIRONMENT = {"WANDB_RUN_PREFIX": "run_prefix", "RUN_NAME": "run_name"}
SEARCH_PREFIX = "HP_SEARCH_"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError: missing, not YAML, or not a mapping."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"config file {path} does not exist{_similar_file(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"config file {path} is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"config file {path} must hold KEY: value lines, not a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def split_keys(
    content: Mapping[str, Any], names: Iterable[str], *, in_sweep: bool
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """A file's keys as (settings by field name, HP_SEARCH_ keys, problems).

    `BATCH_SIZE` sets `batch_size`; a WANDB_RUN_PREFIX with the entries `single` and `sweep` gives the
    one that applies. An unknown key is a problem that names the nearest known one.
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
        else:
            upper = f"; write it {key.upper()}" if key.upper() in known else nearest(key, known)
            problems.append(f"unknown key {key}{upper}")
    return settings, search, problems


def from_environment() -> dict[str, str]:
    return {name: os.environ[key] for key, name in ENVIRONMENT.items() if os.environ.get(key)}


def _prefix_for(value: Any, in_sweep: bool) -> Any:
    if isinstance(value, Mapping):
        return value.get("sweep" if in_sweep else "single")
    return value


def _similar_file(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    names = [str(item) for pattern in ("*.yml", "*.yaml") for item in folder.glob(pattern)]
    close = difflib.get_close_matches(str(path), names, n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""
