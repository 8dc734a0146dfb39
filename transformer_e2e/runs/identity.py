"""The run ID: a readable part, and a hash of the settings that decide the result.

Two trials that differ in such a setting never share an ID; two ways of writing the same number always do.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.errors import ConfigError, UserError

HASH_VERSION = 1  # raised when the same settings come to mean another training
HASH_DIGITS = 12
COMPLETION_DIR = "completion_tracking"
RECORD_SUFFIX = "_completed.json"
# W&B's rule for artifact names, whose longest is model-<run ID>: 128 characters of this alphabet.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_NAME = 128 - len("model-") - 1 - HASH_DIGITS


def run_id(counted: Mapping[str, Any], *, readable: str) -> str:
    """`<readable>-<12 hex digits>`; `counted` holds the settings that decide the result.

    Raises ConfigError if `readable` cannot be part of a file name or an artifact name, or if a setting is
    no JSON value or not finite.
    """
    check_name(readable)
    if len(readable) > _LONGEST_NAME:
        raise ConfigError(f"the run name {readable!r} has {len(readable)} characters; {_LONGEST_NAME} work")
    text = json.dumps(canonical(counted), sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(f"v{HASH_VERSION}\n{text}".encode()).hexdigest()
    return f"{readable}-{digest[:HASH_DIGITS]}"


def canonical(value: Any) -> Any:
    """The JSON value that stands for all ways of writing `value`: 1e-3 and 0.001, 1 and 1.0, (1,) and [1]."""
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"a setting is {value}, which is no usable number")
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ConfigError(f"a setting is {value!r} of type {type(value).__name__}; JSON values work")


def readable_name(
    values: Mapping[str, Any], *, in_sweep: bool, prefix: str | None = None, run_name: str | None = None
) -> str:
    """`single_bs4_cw16_lr1e-03`, in a sweep `tune_8_32_5e-04`; `run_name` replaces all of it.

    `values` needs batch_size, context_window and learning_rate.
    """
    if run_name:
        return run_name
    batch, window = values["batch_size"], values["context_window"]
    rate = _short(float(values["learning_rate"]))
    if in_sweep:
        return f"{prefix or 'tune'}_{batch}_{window}_{rate}"
    return f"{prefix or 'single'}_bs{batch}_cw{window}_lr{rate}"


def _short(number: float) -> str:
    """At most three digits: 1e-03, 1.5e-03. No plus sign, which artifact names cannot hold."""
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent.lstrip('+')}"


def check_name(name: str) -> None:
    """Raise ConfigError unless `name` is a plain name: no path, no space, nothing hidden."""
    if not _NAME.fullmatch(name):
        usable = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "my-run"
        raise ConfigError(
            f"{name!r} cannot be a run name: letters, digits, '_', '-' and '.' work, beginning with a letter "
            f"or a digit; for example {usable!r}"
        )


def known_run_ids(root: Path) -> list[str]:
    """Every trial that has a completion record or a directory below `root`, sorted."""
    found = {
        path.name.removesuffix(RECORD_SUFFIX) for path in (root / COMPLETION_DIR).glob(f"*{RECORD_SUFFIX}")
    }
    if root.is_dir():
        found |= {path.name for path in root.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()}
    return sorted(found - {COMPLETION_DIR})


class UnknownTrial(UserError):
    """No run ID begins like this."""


def find(prefix: str, root: Path) -> str:
    """The one run ID below `root` that is, or begins with, `prefix`.

    Raises UserError: several (all listed) or a prefix that is a path; UnknownTrial: none (with the nearest).
    """
    check_name(prefix)
    known = known_run_ids(root)
    matches = [name for name in known if name.startswith(prefix)]
    if prefix in known:
        return prefix
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(
            f"{prefix!r} begins {len(matches)} run IDs; give more of it:\n  " + "\n  ".join(matches)
        )
    close = difflib.get_close_matches(prefix, known, n=1, cutoff=0.3)
    if close:
        hint = f"the nearest is {close[0]}"
    else:
        hint = f"none of the {len(known)} trials there comes near" if known else "there is no trial at all"
    raise UnknownTrial(f"no trial below {root} is called {prefix!r}; {hint}")
