"""What to type when a trial is done: to look at it, and to see its model at work if it has one."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.errors import CheckpointError
from transformer_e2e.launch.samples import uses
from transformer_e2e.runs import completion
from transformer_e2e.runs.checkpoints import newest_step


def next_lines(root: Path, run_id: str, settings: Mapping[str, Any]) -> list[str]:
    """Commands that work as they stand, for the trial below `root` that was trained with `settings`."""
    model = ModelChoice(run_id=run_id, checkpoint_dir=str(root))
    commands = [shlex.join(manage_command(root, "status", run_id))]
    if _has_model(root, run_id):
        commands += [shlex.join(["python", *use]) for use in uses(settings, model.flags())]
    return [f"{'' if place else 'next:':<5} {command}" for place, command in enumerate(commands)]


def manage_command(root: Path, *arguments: str) -> list[str]:
    """The operator's script on the trials below `root`."""
    where = [] if root == Path(ModelChoice.checkpoint_dir) else ["--checkpoint_dir", str(root)]
    return ["python", "scripts/manage_completed_runs.py", *where, *arguments]


def _has_model(root: Path, run_id: str) -> bool:
    """A trial that diverged at once, or was pruned, has none."""
    with contextlib.suppress(CheckpointError):
        record = completion.read(root, run_id)
        if record is not None and record.artifact is not None:
            return True
    return newest_step(root / run_id) is not None
