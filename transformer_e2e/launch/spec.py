"""A sweep file, read and checked before anything is started."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformer_e2e.config.convert import KeepDefault, convert
from transformer_e2e.config.settings import GROUPS
from transformer_e2e.config.yaml_file import read_yaml
from transformer_e2e.errors import ConfigError, nearest

# Programs whose parameters are our settings; a spec may run any other program.
OWN_PROGRAM = "transformer_e2e.scripts.train"
HF_PROGRAM = "transformer_e2e.scripts.train_hf"
# What a search can go by, of all that the program logs.
_OWN_METRICS = ("eval/loss", "eval/perplexity", "eval/bits_per_byte", "eval/word_perplexity", "train/loss")
_NOTHING_TO_START = (
    "neither program nor command: an agent has nothing to start; our trials need "
    f'command: ["${{env}}", "${{interpreter}}", "-m", {OWN_PROGRAM}, "${{args}}"]'
)
Json = dict[str, Any]


def load_spec(
    path: Path,
    say: Callable[[str], None] = print,
    *,
    override: Path | None = None,
    called: str | None = None,
) -> Json:
    """The sweep in `path`, with numbers where YAML read texts such as 1e-5; what is odd about it is said.

    What stands in the file `override` counts instead: whole keys, but each parameter by itself. `called` is
    what messages name it by, None: by its path. Raises ConfigError with every problem, or with the nearest
    file's name.
    """
    from transformer_e2e.search.spec import normalised, problems, warnings

    folders, title = [Path("sweeps")], called or str(path)
    spec = read_yaml(path, "sweep file", holds="a sweep with the keys method and parameters", folders=folders)
    if override is not None:
        changes = read_yaml(
            override, "override file", holds="keys of a sweep", folders=[Path("sweeps/offline")]
        )
        spec, title = overridden(spec, changes), f"{path} with {override}"
    nothing = [] if spec.get("program") or spec.get("command") else [_NOTHING_TO_START]
    ConfigError.raise_if([*problems(spec), *nothing, *setting_problems(spec)], title=title)
    for warning in warnings(spec):
        say(f"warning: {title}: {warning}")
    return normalised(spec)


def overridden(spec: Json, changes: Json) -> Json:
    """`spec` with the keys of `changes`; of `parameters`, only those that `changes` names."""
    merged = {**spec, **changes}
    both = (spec.get("parameters"), changes.get("parameters"))
    if all(isinstance(parameters, dict) for parameters in both):
        merged["parameters"] = {**spec["parameters"], **changes["parameters"]}
    return merged


def setting_problems(spec: Json) -> list[str]:
    """Parameters of our own training programs that are no setting, values that the setting refuses, and a
    metric that is never logged."""
    words = _words(spec)
    if OWN_PROGRAM in words:
        return [*_metric_problems(spec), *_own_problems(spec)]
    if HF_PROGRAM in words:
        fixed = [word for word in words[words.index(HF_PROGRAM) + 1 :] if not word.startswith("$")]
        return _hf_problems(spec, fixed)
    return []


def _words(spec: Json) -> list[str]:
    words = [spec.get("program") if word == "${program}" else word for word in spec.get("command") or ()]
    return [str(word) for word in words]


def _metric_problems(spec: Json) -> list[str]:
    metric = spec.get("metric")
    name = metric.get("name") if isinstance(metric, dict) else None
    if not name or name in _OWN_METRICS:
        return []
    return [
        f"metric: {OWN_PROGRAM} logs no {name}{nearest(str(name), _OWN_METRICS)} "
        f"(there are: {', '.join(_OWN_METRICS)})"
    ]


def _own_problems(spec: Json) -> list[str]:
    known = {item.name: item for group in GROUPS.values() for item in fields(group)}
    hints = {name: hint for group in GROUPS.values() for name, hint in typing.get_type_hints(group).items()}
    found = []
    for name, parameter in (spec.get("parameters") or {}).items():
        if name not in known:
            found.append(f"parameters: {name} is no setting of {OWN_PROGRAM}{nearest(name, known)}")
            continue
        for value in _named_values(parameter):
            if problem := _value_problem(name, value, hints[name], known[name].metadata["rule"]):
                found.append(f"parameters: {problem}")
    return found


def _hf_problems(spec: Json, fixed: Sequence[str]) -> list[str]:
    """What the program itself says of the flags in the command, the constants, and each value by turns."""
    from transformer_e2e.hf.parser import TrialArgumentParser, merge

    flags, rest = TrialArgumentParser().read(fixed)
    values = {name: _named_values(parameter) for name, parameter in (spec.get("parameters") or {}).items()}
    constants = {name: several[0] for name, several in values.items() if len(several) == 1}
    trials = [{name: value} for name, several in values.items() for value in several if name not in constants]
    unnamed = [{name: None} for name, several in values.items() if not several]
    found: list[str] = []
    for trial in [{}, *trials, *unnamed]:
        try:
            merge({**flags, **constants, **trial}, rest)
        except ConfigError as error:
            found += [f"parameters: {problem}" for problem in error.problems or (str(error),)]
    return list(dict.fromkeys(found))


def metric_of(spec: Json) -> tuple[str, str]:
    """The metric's name and its goal (`minimize` or `maximize`)."""
    metric = spec.get("metric") or {}
    return str(metric.get("name") or "eval/loss"), str(metric.get("goal") or "minimize")


def searched(spec: Json) -> list[str]:
    """The parameters that differ between trials, in the spec's order; nested ones joined by dots."""
    return [name for name, parameter in _leaves(spec.get("parameters") or {}, "") if _varies(parameter)]


def _leaves(parameters: Json, prefix: str) -> list[tuple[str, Json]]:
    found: list[tuple[str, Json]] = []
    for name, parameter in parameters.items():
        if not isinstance(parameter, dict):
            continue
        if isinstance(nested := parameter.get("parameters"), dict):
            found += _leaves(nested, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", parameter))
    return found


def _varies(parameter: Json) -> bool:
    return "value" not in parameter and len(parameter.get("values", (1, 2))) > 1


def _named_values(parameter: Any) -> list[Any]:
    """The values that a spec writes down for one parameter: constants, choices, ends of a range."""
    if not isinstance(parameter, dict):
        return []
    ends = [parameter[key] for key in ("value", "min", "max") if key in parameter]
    if str(parameter.get("distribution", "")) in ("log_uniform", "q_log_uniform", "inv_log_uniform"):
        ends = []  # exponents of e, not values
    values = parameter.get("values")
    return [*ends, *(values if isinstance(values, list) else [])]


def _value_problem(name: str, value: Any, hint: Any, rule: Any) -> str | None:
    try:
        converted = convert(value, hint)
    except KeepDefault:
        return None
    except ValueError as error:
        return f"{name}={value} {error}"
    return None if converted is None else rule.problem(name, converted)
