"""The HP_SEARCH_ keys of config.yml -> a W&B sweep spec, for `train --mode sweep`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.errors import ConfigError, nearest

_TOP_LEVEL = {
    "HP_SEARCH_METHOD": "method",
    "HP_SEARCH_METRIC": "metric",
    "HP_SEARCH_RUN_CAP": "run_cap",
    "HP_SEARCH_EARLY_TERMINATE": "early_terminate",
    "HP_SEARCH_SEED": "seed",
    "HP_SEARCH_NAME": "name",
}


def search_key_problems(keys: Iterable[str], names: Iterable[str]) -> list[str]:
    """HP_SEARCH_ keys that search no setting of `names` and are none of the search itself."""
    known = [*_TOP_LEVEL, *(f"HP_SEARCH_{name.upper()}" for name in names)]
    return [f"unknown key {key}{nearest(key, known)}" for key in keys if key not in known]


def sweep_spec(
    keys: Mapping[str, Any], names: Iterable[str], *, config: Path, fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """A spec that runs this program once a trial.

    `names` are the known settings and `keys` have no `search_key_problems`; HP_SEARCH_<SETTING> is a list of
    values, one value, or a W&B range such as {min, max, distribution}. `fixed` are the flags that were given
    by hand: every trial gets them. Raises ConfigError with every problem.
    """
    known = {f"HP_SEARCH_{name.upper()}": name for name in names}
    problems = []
    parameters = {known[key]: _parameter(value) for key, value in keys.items() if key in known}
    if not parameters:
        problems.append(
            f"{config} names nothing to search: add a line such as HP_SEARCH_LEARNING_RATE: [1e-3, 3e-3]"
        )
    problems += [
        f"--{name} is fixed by a flag and searched by HP_SEARCH_{name.upper()}; drop one of them"
        for name in fixed
        if name in parameters
    ]
    ConfigError.raise_if(problems)
    command = ["${env}", "${interpreter}", "-m", "transformer_e2e.scripts.train", "--config", str(config)]
    command += [f"--{name}={value}" for name, value in fixed.items()]
    return {
        "program": "transformer_e2e/scripts/train.py",
        "command": [*command, "${args}"],
        "method": "random",
        "metric": {"name": "eval/loss", "goal": "minimize"},
        "parameters": parameters,
        **{_TOP_LEVEL[key]: value for key, value in keys.items() if key in _TOP_LEVEL},
    }


def _parameter(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list):
        return {"values": value}
    return {"value": value}
