"""Command line, environment and YAML -> `Settings`, for people and for `wandb agent`.

Every problem is reported at once, before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import os
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from transformer_e2e.config.convert import KeepDefault, convert, is_boolean, type_word
from transformer_e2e.config.settings import GROUPS, Settings
from transformer_e2e.config.sources import from_environment, read_yaml, split_keys
from transformer_e2e.errors import ConfigError, nearest


@dataclass(frozen=True)
class Resolved:
    """Settings, where each one came from, and the config file's HP_SEARCH_ keys."""

    settings: Settings
    sources: dict[str, str] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)


def field_types() -> dict[str, Any]:
    """Type hint of every setting, by field name."""
    return {name: hint for group in GROUPS.values() for name, hint in typing.get_type_hints(group).items()}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one flag a setting. Values stay text: `resolve` converts and checks them all."""
    hints = field_types()
    for title, group in GROUPS.items():
        section = parser.add_argument_group(f"{title} settings")
        for item in fields(group):
            shown: dict[str, Any] = {
                "default": argparse.SUPPRESS,
                "metavar": type_word(hints[item.name]).split(" ")[0].upper(),
                "help": f"{item.metadata['help']} [{item.default}]".replace("%", "%%"),
            }
            if is_boolean(hints[item.name]):
                section.add_argument(f"--{item.name}", nargs="?", const="true", **shown)
                negated = {"dest": item.name, "const": "false", "help": argparse.SUPPRESS}
                section.add_argument(
                    f"--no_{item.name}", action="store_const", default=argparse.SUPPRESS, **negated
                )
            else:
                section.add_argument(f"--{item.name}", **shown)


def resolve(flags: dict[str, Any], unknown: Sequence[str], config: Path | None) -> Resolved:
    """Merge flags over environment over `config` over defaults.

    `unknown` are the arguments that the parser did not know. Raises ConfigError with every problem.
    """
    hints = field_types()
    content = read_yaml(config) if config else {}
    file_values, search, problems = split_keys(content, hints, in_sweep="WANDB_SWEEP_ID" in os.environ)
    problems = [f"{config}: {problem}" for problem in problems]
    problems += [_unknown_flag(text, hints) for text in unknown if text.startswith("-")]
    problems += [
        f"unexpected argument {text!r}; flags are --name=value" for text in unknown if text[:1] != "-"
    ]
    layers = [(str(config), file_values), ("environment", dict(from_environment())), ("flag", flags)]
    values: dict[str, Any] = {}
    sources = {name: "default" for name in hints}
    for source, layer in layers:
        for name, value in layer.items():
            try:
                values[name] = convert(value, hints[name])
                sources[name] = source
            except KeepDefault:
                continue
            except ValueError as error:
                problems.append(f"--{name}={value} ({source}) {error}")
    settings = _compose(values)
    ConfigError.raise_if(problems + settings.problems())
    return Resolved(settings, sources, search)


def _compose(values: dict[str, Any]) -> Settings:
    parts = {
        title: group(**{item.name: values[item.name] for item in fields(group) if item.name in values})
        for title, group in GROUPS.items()
    }
    return Settings(**parts)


def _unknown_flag(text: str, hints: dict[str, Any]) -> str:
    name = text.split("=")[0]
    return f"unknown flag {name}{nearest(name, [f'--{known}' for known in hints])}"
