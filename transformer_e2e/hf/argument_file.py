"""A YAML or JSON file of settings, as Hugging Face's programs take one for all their arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformer_e2e.config.yaml_file import read_yaml
from transformer_e2e.errors import ConfigError

FILE_SUFFIXES = (".yaml", ".yml", ".json")


def is_file(text: str) -> bool:
    """Whether an argument that is no flag's value names such a file, there or not."""
    return text.endswith(FILE_SUFFIXES) and not text.startswith("-") and "=" not in text


def read_file(path: Path) -> dict[str, Any]:
    """The settings in an argument file, names in lower case. Raises ConfigError."""
    if path.suffix != ".json":
        content = read_yaml(path, "argument file", holds="name: value lines")
        return {name.lower(): value for name, value in content.items()}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"argument file {path} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f'argument file {path} must hold {{"name": value}}')
    return {str(name).lower(): value for name, value in content.items()}
