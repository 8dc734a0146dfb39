"""The command line of the Hugging Face program -> values by name, every problem at once.

Flags, an argument file (YAML or JSON) and the environment; all booleans, numbers and nested parameters in
every form in which `wandb agent` writes them.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from transformers.hf_argparser import HfArgumentParser
from transformers.training_args import TrainingArguments

from transformer_e2e.config.convert import KeepDefault
from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.config.option import Rule
from transformer_e2e.config.sources import from_environment
from transformer_e2e.errors import ConfigError, nearest
from transformer_e2e.hf.argument_file import FILE_SUFFIXES, is_file, read_file
from transformer_e2e.hf.defaults import DEFAULTS, FROM_SCRATCH, HELP, RULES, conflicts
from transformer_e2e.hf.effects import length_of_blocks, without_effect
from transformer_e2e.hf.spelling import in_own_words, known_words
from transformer_e2e.hf.values import choices, is_flag, read_value, structure, takes_list

TITLES = {
    ModelArguments: "model",
    DataArguments: "data",
    RunArguments: "life of the trial",
    TrainingArguments: "Hugging Face's own (transformers.TrainingArguments)",
}
GROUPS: tuple[type[Any], ...] = tuple(TITLES)


@dataclass(frozen=True)
class Given:
    """A value for every field of GROUPS, where each came from ("default", a file, "flag"), and notes."""

    values: dict[str, Any]
    sources: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def group(self, kind: type[Any]) -> dict[str, Any]:
        return {item.name: self.values[item.name] for item in fields(kind)}


class TrialArgumentParser(HfArgumentParser):
    """Hugging Face's parser, but values stay text: they are converted and checked together, by `merge`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(GROUPS, allow_abbrev=False, **how)  # type: ignore[arg-type]
        for name in known_words():
            if f"--{name}" not in self._option_string_actions:
                _add_boolean(self, name, argparse.SUPPRESS)
                _add_negation(self, name)

    def _add_dataclass_arguments(self, dtype: Any) -> None:
        """Called by Hugging Face's parser for each of GROUPS."""
        section = self.add_argument_group(TITLES[dtype])
        for name, hint in get_type_hints(dtype).items():
            item = dtype.__dataclass_fields__[name]
            text = argparse.SUPPRESS if name in known_words() else _help(item, hint)
            if is_flag(hint) or "const" in item.metadata:  # --fsdp takes a word, or none
                _add_boolean(section, name, text)
                _add_negation(section, name)
            else:
                nargs = "+" if takes_list(hint) else None
                section.add_argument(
                    f"--{name}", nargs=nargs, default=argparse.SUPPRESS, metavar="VALUE", help=text
                )

    def read(self, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Flags by name as they were given, and what is no flag. `--learning-rate` is `--learning_rate`."""
        files, rest = self._without_files([_underscored(text) for text in argv])
        space, unknown = self.parse_known_args(rest)
        return vars(space), [*files, *unknown]

    def _without_files(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """Argument files, also behind a flag that needs no value (`--fp16 run.yaml`), and the rest."""
        files: list[str] = []
        rest: list[str] = []
        is_value = False
        for text in argv:
            (files if is_file(text) and not is_value else rest).append(text)
            action = self._option_string_actions.get(text)
            is_value = action is not None and action.nargs is None
        return files, rest


def merge(flags: dict[str, Any], unknown: Sequence[str]) -> Given:
    """As `collect`. Raises ConfigError with every problem."""
    given, problems = collect(flags, unknown)
    ConfigError.raise_if(problems)
    return given


def collect(flags: dict[str, Any], unknown: Sequence[str]) -> tuple[Given, list[str]]:
    """A value for every setting, flags over environment over argument files (the last wins) over defaults;
    and every problem: a value that cannot be used is not taken."""
    hints = {name: hint for group in GROUPS for name, hint in get_type_hints(group).items()}
    problems: list[str] = []
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for before, text in zip(["", *unknown], unknown, strict=False):
        if is_file(text):
            try:
                layers.append((text, read_file(Path(text))))
            except ConfigError as error:
                problems.append(str(error))
        elif not _is_value(text, before):
            _take_loose(text, flags, hints, problems)
    layers.append(("environment", {k: v for k, v in from_environment().items() if k in hints}))
    layers.append(("flag", flags))
    given = Given(_defaults(), dict.fromkeys(hints, "default"))
    for source, layer in layers:
        _take_layer(given, source, layer, hints, problems)
    if given.values["model_name_or_path"] is None:
        for name, value in FROM_SCRATCH.items():
            if given.sources[name] == "default":
                given.values[name] = value
    outside = [name for name, source in given.sources.items() if source != "default"]
    given.notes.extend(length_of_blocks(given.values, outside, _defaults()))
    given.notes.extend(without_effect(given.values, outside, _defaults()))
    given.values.update(
        vars(DataArguments(**given.group(DataArguments)))
    )  # fills in what depends on the task
    problems += _range_problems(given) + conflicts(given.values)
    return given, problems


def _is_value(text: str, before: str) -> bool:
    """Whether `text` is the value of the unknown flag `before`, which is a problem already."""
    return before.startswith("--") and "=" not in before + text and not text.startswith(("-", "{"))


def _take_loose(text: str, flags: dict[str, Any], hints: Mapping[str, Any], problems: list[str]) -> None:
    """What is no flag: `name=value` or a JSON object, which W&B's macros can produce; else a problem."""
    known = {*hints, *known_words()}
    name, equals, value = text.partition("=")
    if text.lstrip().startswith("{"):
        try:
            found = structure(text)
        except ValueError as error:
            problems.append(f"the argument {error}")
            return
        flags.update(found)
    elif equals and name in known:
        flags[name] = value
    elif text.startswith("-"):
        near = nearest(name.lower(), [f"--{word}" for word in sorted(known)])
        problems.append(f"unknown flag {name}{near}")
    else:
        problems.append(
            f"unexpected argument {text!r}; a flag is --name=value, an argument file ends in "
            f"{', '.join(FILE_SUFFIXES)}"
        )


def _take_layer(
    given: Given, source: str, layer: Mapping[str, Any], hints: Mapping[str, Any], problems: list[str]
) -> None:
    settings, notes, wrong = in_own_words(layer)
    given.notes.extend(notes)
    problems.extend(wrong)
    for name, value in settings.items():
        if name not in hints:
            problems.append(f"{source}: unknown name {name}{nearest(name, [*hints, *known_words()])}")
            continue
        try:
            given.values[name] = read_value(value, hints[name])
            given.sources[name] = source
        except KeepDefault:
            continue
        except ValueError as error:
            rule = RULES.get(name)
            told = rule.problem(name, value) if rule and rule.choices else None  # fewer than the library's
            problems.append(told or f"--{name}={value} ({source}) {error}")


def _defaults() -> dict[str, Any]:
    found = {}
    for group in GROUPS:
        for item in fields(group):
            found[item.name] = DEFAULTS.get(item.name, _default(item))
    return found


def _default(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def _range_problems(given: Given) -> list[str]:
    found = []
    for group in GROUPS:
        for item in fields(group):
            rule: Rule | None = _rule(item)
            value = given.values[item.name]
            if rule and value is not None and (problem := rule.problem(item.name, value)):
                found.append(problem)
    return found


def _rule(item: Field[Any]) -> Rule | None:
    """Our own fields bring theirs; Hugging Face's know a choice at most."""
    if "rule" in item.metadata:
        return item.metadata["rule"]
    if "choices" in item.metadata:
        return Rule(choices=tuple(item.metadata["choices"]))
    return RULES.get(item.name)


def _add_boolean(section: Any, name: str, text: str) -> None:
    section.add_argument(
        f"--{name}", nargs="?", const="true", default=argparse.SUPPRESS, metavar="BOOL", help=text
    )


def _add_negation(section: Any, name: str) -> None:
    section.add_argument(
        f"--no_{name}",
        dest=name,
        action="store_const",
        const="false",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def _underscored(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else text


def _help(item: Field[Any], hint: Any) -> str:
    default = DEFAULTS.get(item.name, _default(item))
    if item.name in FROM_SCRATCH:
        default = f"{default}, from scratch {FROM_SCRATCH[item.name]}"
    facts = [str(rule)] if (rule := _rule(item)) and str(rule) else []
    if item.name not in HELP and (words := choices(hint)):
        facts.append(f"one of {', '.join(words)}")
    text = HELP.get(item.name) or re.sub("%+", "%%", item.metadata.get("help", ""))
    return f"{text} [{'; '.join([*facts, f'default: {default}'])}]"


def in_sweep() -> bool:
    return "WANDB_SWEEP_ID" in os.environ
