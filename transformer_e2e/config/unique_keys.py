"""YAML in which a key that stands twice is told: the standard takes the last one and says nothing."""

from __future__ import annotations

from typing import Any

import yaml


class UniqueKeys(yaml.SafeLoader):
    """Loads as `yaml.safe_load` does; `twice` then holds a sentence for each repeated key."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.twice: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and lines.setdefault(key.value, line) != line:
                self.twice.append(
                    f"{key.value} stands in lines {lines[key.value]} and {line}; keep one of them"
                )
        return super().construct_mapping(node, deep=deep)


def load(text: str) -> tuple[Any, list[str]]:
    """The content of `text`, and its repeated keys. Raises yaml.YAMLError."""
    loader = UniqueKeys(text)
    try:
        return loader.get_single_data(), loader.twice
    finally:
        loader.dispose()
