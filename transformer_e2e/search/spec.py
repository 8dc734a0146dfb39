"""A sweep spec: what is wrong with it, what is odd about it, and its normalised form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformer_e2e.errors import nearest
from transformer_e2e.search.distributions import KEYS, filled, leaves
from transformer_e2e.search.numerals import is_number, number
from transformer_e2e.search.parameter_rules import problems_of, warnings_of

METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")
_TOP = (
    "apiVersion",
    "command",
    "controller",
    "description",
    "early_terminate",
    "entity",
    "image_uri",
    "job",
    "kind",
    "method",
    "metric",
    "name",
    "parameters",
    "program",
    "project",
    "run_cap",
    "scheduler",
    "seed",
)
_METRIC = ("name", "goal", "target")
_IMPUTE = ("impute", "impute_while_running")
_STOPPING = ("type", "min_iter", "max_iter", "s", "eta", "strict")


def normalised(config: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with numbers that YAML 1.1 misread repaired, distributions named and defaults filled in.

    Never raises and never changes its argument: what cannot be understood is passed through, for `problems`
    to tell. Normalising twice changes nothing more. Metric: goal minimize. Hyperband: eta 3, strict.
    """
    result = dict(config)
    for key in ("run_cap", "seed"):
        if key in result:
            result[key] = _whole(number(result[key]))
    if isinstance(metric := result.get("metric"), Mapping):
        result["metric"] = {"goal": "minimize", **metric}
        if "target" in metric:
            result["metric"]["target"] = number(metric["target"])
    if isinstance(stopping := result.get("early_terminate"), Mapping):
        given = {key: number(value) for key, value in stopping.items()}
        for key in ("min_iter", "max_iter", "s"):
            if key in given:
                given[key] = _whole(given[key])
        result["early_terminate"] = {"eta": 3, "strict": True, **given}
    if isinstance(parameters := result.get("parameters"), Mapping):
        result["parameters"] = {name: filled(parameter) for name, parameter in parameters.items()}
    return result


def problems(config: Mapping[str, Any]) -> list[str]:
    """Everything that keeps the spec from being run, each with the nearest thing that works; empty if
    nothing does.
    """
    if not isinstance(config, Mapping):
        return [f"a sweep spec must be a mapping with method and parameters, not {type(config).__name__}"]
    spec = normalised(config)
    method = spec.get("method")
    return [
        *_method_problems(method),
        *_metric_problems(spec),
        *_stopping_problems(spec),
        *_count_problems(spec),
        *_command_problems(spec),
        *_parameter_problems(spec, method),
    ]


def warnings(config: Mapping[str, Any]) -> list[str]:
    """What is odd about the spec without keeping it from being run: unknown keys, keys without effect,
    likely slips.
    """
    if not isinstance(config, Mapping):
        return []
    spec = normalised(config)
    found = _unknown("", spec, _TOP)
    if isinstance(metric := spec.get("metric"), Mapping):
        unused = [key for key in _IMPUTE if key in metric]
        found += [
            f"metric: {key!r} is not used; a trial that broke without a value counts as the worst"
            for key in unused
        ]
        found += _unknown("metric: ", {key: None for key in metric if key not in unused}, _METRIC)
    if isinstance(stopping := spec.get("early_terminate"), Mapping):
        found += _unknown("early_terminate: ", stopping, _STOPPING)
        if "min_iter" in stopping and "max_iter" in stopping:
            found.append("early_terminate: max_iter decides where both are given; min_iter is not used")
        elif "min_iter" in stopping and "s" in stopping:
            found.append("early_terminate: 's' belongs to max_iter; with min_iter it is not used")
    if not any(spec.get(key) for key in ("program", "command", "job", "image_uri")):
        found.append(
            "neither program nor command: `wandb agent` has nothing to start; "
            "only wandb.agent(function=...) can run this"
        )
    for path, parameter in leaves(spec.get("parameters")):
        found += warnings_of(path, parameter)
    return found + _misplaced_groups(spec.get("parameters"))


def _whole(value: Any) -> Any:
    """1e2 as the int it is; everything else as it came."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _method_problems(method: Any) -> list[str]:
    if method in METHODS:
        return []
    rule = f"one of {', '.join(METHODS)}"
    if method is None:
        return [f"method is missing; give {rule}"]
    return [f"method {method!r} does not exist; {rule}{nearest(str(method), METHODS)}"]


def _metric_problems(spec: Mapping[str, Any]) -> list[str]:
    metric = spec.get("metric")
    if metric is None:
        needed = [f"method {spec['method']}"] if spec.get("method") == "bayes" else []
        needed += ["early_terminate"] if spec.get("early_terminate") is not None else []
        return [
            f"metric is missing: {who} needs one, for example {{name: eval/loss, goal: minimize}}"
            for who in needed
        ]
    if not isinstance(metric, Mapping):
        return [f"metric is {metric!r}; write it as {{name: {metric}, goal: minimize}}"]
    found = []
    name, goal = metric.get("name"), metric["goal"]
    if not isinstance(name, str) or not name:
        found.append("metric: name is missing; give the name that the program logs, for example eval/loss")
    elif name != name.strip():
        found.append(f"metric: name {name!r} starts or ends with a blank; use {name.strip()!r}")
    if goal not in GOALS:
        found.append(f"metric: goal {goal!r} must be minimize or maximize{nearest(str(goal), GOALS)}")
    if "target" in metric and not is_number(metric["target"]):
        found.append(f"metric: target {metric['target']!r} must be a finite number")
    return found


def _stopping_problems(spec: Mapping[str, Any]) -> list[str]:
    stopping = spec.get("early_terminate")
    if stopping is None:
        return []
    example = "{type: hyperband, min_iter: 3}"
    if not isinstance(stopping, Mapping):
        return [f"early_terminate is {stopping!r}; write for example {example}"]
    found = []
    if stopping.get("type") != "hyperband":
        found.append(f"early_terminate: type {stopping.get('type')!r} must be hyperband")
    if "min_iter" not in stopping and "max_iter" not in stopping:
        found.append(f"early_terminate needs min_iter, or max_iter and s; for example {example}")
    if "max_iter" in stopping and "s" not in stopping:
        found.append("early_terminate: max_iter needs s, the number of brackets, for example s: 2")
    for key in ("min_iter", "max_iter", "s"):
        if key in stopping and not _positive_int(stopping[key]):
            found.append(f"early_terminate: {key}={stopping[key]!r} must be a whole number of at least 1")
    if not is_number(stopping["eta"]) or stopping["eta"] <= 1:
        found.append(
            f"early_terminate: eta={stopping['eta']!r} must be a number greater than 1, for example 3"
        )
    elif _positive_int(stopping.get("max_iter")) and stopping["max_iter"] < stopping["eta"]:
        found.append(
            f"early_terminate: max_iter={stopping['max_iter']} leaves no bracket; "
            f"it must be at least eta={stopping['eta']}"
        )
    if not isinstance(stopping["strict"], bool):
        found.append(f"early_terminate: strict={stopping['strict']!r} must be true or false")
    return found


def _count_problems(spec: Mapping[str, Any]) -> list[str]:
    found = []
    if "run_cap" in spec and not _positive_int(spec["run_cap"]):
        found.append(
            f"run_cap={spec['run_cap']!r} must be a whole number of at least 1; leave it out for no limit"
        )
    seed = spec.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        found.append(f"seed={seed!r} must be a whole number, for example 1")
    return found


def _command_problems(spec: Mapping[str, Any]) -> list[str]:
    command, program = spec.get("command"), spec.get("program")
    found = []
    if command is not None and not (
        isinstance(command, list) and command and all(isinstance(word, str | int | float) for word in command)
    ):
        found.append(
            f"command is {command!r}; write it as a list of words, for example ['${{program}}', '${{args}}']"
        )
    if program is not None and not isinstance(program, str):
        found.append(f"program is {program!r}; it must be the path of a script")
    if program is None and isinstance(command, list) and "${program}" in command:
        found.append("command names ${program}, but program is missing; add program: path/to/script.py")
    return found


def _parameter_problems(spec: Mapping[str, Any], method: Any) -> list[str]:
    parameters = spec.get("parameters")
    if not isinstance(parameters, Mapping) or not parameters:
        given = "missing or empty" if not parameters else repr(parameters)
        return [
            f"parameters is {given}; "
            "give at least one, for example {learning_rate: {values: [0.001, 0.0003]}}"
        ]
    return [
        problem for path, parameter in leaves(parameters) for problem in problems_of(path, parameter, method)
    ]


def _misplaced_groups(parameters: Any, prefix: str = "") -> list[str]:
    """Keys beside `parameters:` in a nested group have no effect."""
    if not isinstance(parameters, Mapping):
        return []
    found = []
    for name, parameter in parameters.items():
        if isinstance(parameter, Mapping) and "parameters" in parameter:
            beside = [key for key in parameter if key != "parameters"]
            found += [f"parameter {prefix}{name}: {key!r} beside parameters is not used" for key in beside]
            found += _misplaced_groups(parameter["parameters"], f"{prefix}{name}.")
    return found


def _unknown(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    found = []
    for key in given:
        if key in known:
            continue
        hint = nearest(str(key), known)
        if not hint and not where and key in KEYS:
            hint = "; it belongs below a parameter"
        found.append(f"{where}{key!r} is not known and has no effect{hint}")
    return found


def _positive_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
