"""A YAML file that a person wrote: its mapping, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.errors import ConfigError, nearest


def read_yaml(path: Path, what: str, *, holds: str, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """The mapping in `path`; an empty file holds an empty one.

    Raises ConfigError: missing (the nearest file beside it, or in `folders`, is named), not readable, not
    YAML, a key that stands twice, or no mapping. `what` names the file in messages, `holds` says what it
    should hold.
    """
    import yaml

    from transformer_e2e.config import unique_keys

    try:
        content, twice = unique_keys.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no {what} {path}{_nearest_file(path, folders)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the {what} {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    ConfigError.raise_if(twice, title=str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"the {what} {path} must hold {holds}, not a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _nearest_file(path: Path, folders: Sequence[Path]) -> str:
    found = [item for folder in (path.parent, *folders) if folder.is_dir() for item in folder.glob("*.y*ml")]
    if not found:
        return ""
    known = sorted({str(item) for item in found})
    hint = nearest(path.name, {item.name for item in found}) or nearest(str(path), known)
    return f"{hint} (there are: {', '.join(known)})"
