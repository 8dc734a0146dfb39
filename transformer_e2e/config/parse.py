"""Command line, environment and YAML -> settings, for people and for `wandb agent`.

Every problem is reported at once, before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import os
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from transformer_e2e.config.convert import (
    FALSE_WORDS,
    TRUE_WORDS,
    KeepDefault,
    convert,
    is_boolean,
    is_list,
    metavar,
)
from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.config.option import range_problems
from transformer_e2e.config.settings import GROUPS, Settings
from transformer_e2e.config.sources import from_environment, split_keys
from transformer_e2e.config.sweep_spec import search_key_problems
from transformer_e2e.config.yaml_file import read_yaml
from transformer_e2e.errors import ConfigError, nearest

C = TypeVar("C", bound=ModelChoice)


@dataclass(frozen=True)
class Values:
    """Settings by name, where each came from, the file's HP_SEARCH_ keys, and what is wrong."""

    by_name: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Resolved:
    """The settings of a training, where each one came from, and the file's HP_SEARCH_ keys."""

    settings: Settings
    sources: dict[str, str]
    search: dict[str, Any]


def add_settings(parser: argparse.ArgumentParser, groups: Mapping[str, type[Any]] = GROUPS) -> None:
    """Give `parser` one flag a setting. Values stay text: they are converted and checked together."""
    hints = field_types(groups.values())
    for title, group in groups.items():
        section = parser.add_argument_group(f"{title} settings")
        for item in fields(group):
            rule = item.metadata["rule"]
            repeated = is_list(hints[item.name])
            default: Any = item.default
            if repeated:
                default = ", ".join(default) or None
            facts = "; ".join(fact for fact in (str(rule), f"default: {default}") if fact)
            text = f"{item.metadata['help']} [{facts}]".replace("%", "%%")
            shown_as = "|".join(rule.choices) or metavar(hints[item.name])
            flag = f"--{item.name}"
            if is_boolean(hints[item.name]):
                section.add_argument(
                    flag, nargs="?", const="true", default=argparse.SUPPRESS, metavar=shown_as, help=text
                )
                section.add_argument(
                    f"--no_{item.name}",
                    dest=item.name,
                    action="store_const",
                    const="false",
                    default=argparse.SUPPRESS,
                    help=argparse.SUPPRESS,
                )
            else:
                action = "append" if repeated else "store"
                section.add_argument(
                    flag, action=action, default=argparse.SUPPRESS, metavar=shown_as, help=text
                )


def with_values(argv: Sequence[str], group: type[Any]) -> list[str]:
    """`argv` in which a boolean flag without a value has one: it takes no text behind it for its own."""
    flags = {f"--{name}" for name, hint in field_types([group]).items() if is_boolean(hint)}
    words = TRUE_WORDS | FALSE_WORDS
    return [
        f"{item}=true" if item in flags and following.lower() not in words else item
        for item, following in zip(argv, [*argv[1:], ""], strict=True)
    ]


def resolve(
    flags: dict[str, Any], unknown: Sequence[str], config: Path | None, *, of_sweep: bool = False
) -> Resolved:
    """The settings of a training: flags over environment over `config` over defaults.

    `unknown` are the arguments that the parser did not know; `of_sweep`: as the trials of a sweep have them,
    which is so in any case where an agent has started this process. Raises ConfigError with every problem.
    """
    values = _merge(GROUPS.values(), flags, unknown, config, of_sweep=of_sweep)
    names = field_types(GROUPS.values())
    values.problems.extend(f"{config}: {text}" for text in search_key_problems(values.search, names))
    parts = {
        title: group(**{f.name: values.by_name[f.name] for f in fields(group) if f.name in values.by_name})
        for title, group in GROUPS.items()
    }
    settings = Settings(**parts)
    ConfigError.raise_if(values.problems + settings.problems())
    return Resolved(settings, values.sources, values.search)


def resolve_use(
    group: type[C], flags: dict[str, Any], unknown: Sequence[str], config: Path | None = None
) -> C:
    """What to do with a trained model: flags over `config` over defaults. Raises ConfigError with every
    problem."""
    values = _merge([group], flags, unknown, config)
    values.problems.extend(f"{config}: unknown key {key}; it is of a training" for key in values.search)
    for names in group.EXCLUSIVE:
        _keep_one(values, names)
    settings = group(**values.by_name)
    ConfigError.raise_if(values.problems + range_problems(settings) + settings.problems())
    return settings


def _keep_one(values: Values, group: Sequence[str]) -> None:
    """Of settings that exclude each other a flag makes those of the file void; more than one is a problem."""
    given = [name for name in group if values.by_name.get(name) is not None]
    by_flag = [name for name in given if values.sources[name] == "flag"]
    for name in given if by_flag else ():
        if name not in by_flag:
            del values.by_name[name]
    if len(kept := by_flag or given) > 1:
        values.problems.append(
            f"{' and '.join(f'--{name}' for name in kept)} exclude each other; keep one of them"
        )


def field_types(groups: Iterable[type[Any]]) -> dict[str, Any]:
    """Type hint of every setting, by field name."""
    return {
        item.name: hints[item.name]
        for group in groups
        for hints in [typing.get_type_hints(group)]
        for item in fields(group)
    }


def _merge(
    groups: Iterable[type[Any]],
    flags: dict[str, Any],
    unknown: Sequence[str],
    config: Path | None,
    *,
    of_sweep: bool = False,
) -> Values:
    hints = field_types(groups)
    content = read_yaml(config, "config file", holds="KEY: value lines") if config else {}
    in_sweep = of_sweep or "WANDB_SWEEP_ID" in os.environ
    file_values, search, file_problems = split_keys(content, hints, in_sweep=in_sweep)
    merged = Values(sources={name: "default" for name in hints}, search=search)
    merged.problems.extend(f"{config}: {problem}" for problem in file_problems)
    merged.problems.extend(_unknown(text, hints) for text in unknown)
    environment = {name: value for name, value in from_environment().items() if name in hints}
    for source, layer in ((str(config), file_values), ("environment", environment), ("flag", flags)):
        for name, value in layer.items():
            _take(merged, name, value, hints[name], source)
    return merged


def _take(merged: Values, name: str, value: Any, hint: Any, source: str) -> None:
    try:
        merged.by_name[name] = convert(value, hint)
        merged.sources[name] = source
    except KeepDefault:
        return
    except ValueError as error:
        merged.problems.append(f"--{name}={value} ({source}) {error}")


def _unknown(text: str, hints: dict[str, Any]) -> str:
    if not text.startswith("-"):
        return f"unexpected argument {text!r}; a flag is --name=value"
    name = text.split("=")[0]
    return f"unknown flag {name}{nearest(name, [f'--{known}' for known in hints])}"
