"""What a trial's directory says about itself: its settings, and its W&B run outside of sweeps."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.durable import write_json
from transformer_e2e.runs.identity import canonical

CONFIG_NAME = "config.json"
TRACKING_NAME = "tracking.json"


def check_config(directory: Path, *, run_id: str, counted: Mapping[str, Any]) -> None:
    """Write `config.json`, or compare it. Raises CheckpointError naming every setting that differs."""
    path = directory / CONFIG_NAME
    wanted = canonical(counted)
    if not path.exists():
        write_json(path, {"run_id": run_id, "counted": wanted})
        return
    content = _read(path)
    made_with = content.get("counted")
    if not isinstance(made_with, dict):
        raise CheckpointError(f"{path} is damaged: it has no settings; move {directory} away to start anew")
    differing = [
        f"{name}: {made_with.get(name, 'absent')} there, {wanted.get(name, 'absent')} now"
        for name in sorted({*made_with, *wanted})
        if name not in made_with or name not in wanted or made_with[name] != wanted[name]
    ]
    if differing:
        raise CheckpointError(
            f"{directory} belongs to a trial with other settings; choose another --run_name or "
            f"--checkpoint_dir:" + "".join(f"\n  - {text}" for text in differing)
        )


def wandb_run_id(directory: Path, *, renew: bool) -> str:
    """The id of the trial's W&B run outside of sweeps: the same for every attempt, made up at the first.

    `renew`: a new one, not written yet (see `keep_wandb_run_id`): training from step 0 again is another
    history, and the old one is not overwritten.
    """
    path = directory / TRACKING_NAME
    if path.exists() and not renew:
        return str(_read(path).get("wandb_run_id") or secrets.token_hex(4))
    new = secrets.token_hex(4)
    if not renew:
        keep_wandb_run_id(directory, new)
    return new


def keep_wandb_run_id(directory: Path, wandb_id: str) -> None:
    write_json(directory / TRACKING_NAME, {"wandb_run_id": wandb_id})


def known_settings(directory: Path) -> dict[str, Any]:
    """The settings that decide the result, as `config.json` has them; none if it is missing or damaged."""
    with contextlib.suppress(CheckpointError):
        counted = _read(directory / CONFIG_NAME).get("counted")
        if isinstance(counted, dict):
            return counted
    return {}


def known_wandb_run_id(directory: Path) -> str | None:
    """The id of the trial's W&B run outside of sweeps; None if it has none yet."""
    with contextlib.suppress(CheckpointError):
        return _read(directory / TRACKING_NAME).get("wandb_run_id")
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: it holds no object")
    return content
