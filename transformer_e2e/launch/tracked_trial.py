"""What W&B knows of a trial that is to be used: its full run ID, its hyperparameters, its artifact."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.errors import LaunchError, TrackerError, UserError
from transformer_e2e.launch.environment import DEFAULT_PROJECT
from transformer_e2e.launch.server import DEFAULT_ROOT, configured, connected
from transformer_e2e.runs.identity import canonical
from transformer_e2e.runs.tracker_connection import Connection, is_online
from transformer_e2e.runs.tracker_queries import RunView, find_runs

_SECONDS = 5.0  # what a question may take that could also do without an answer


@dataclass(frozen=True)
class TrackedTrial:
    run_id: str
    path: str  # entity/project/id of its newest run
    hyperparameters: Mapping[str, Any]

    @property
    def artifact(self) -> str:
        """Where its model is put, if it was uploaded."""
        return f"{self.path.rpartition('/')[0]}/model-{self.run_id}:best"


class Tracker:
    """W&B as a source of models; the embedded server of this folder, if there is one, is started when the
    first question needs it and used until the `stack` is closed."""

    def __init__(self, choice: ModelChoice, stack: ExitStack) -> None:
        self.project = choice.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
        self.entity = choice.entity or os.environ.get("WANDB_ENTITY")
        self._stack = stack
        self._connection: Connection | None = None

    def connect(self) -> Connection:
        """A connection whose key was just accepted. Raises TrackerError with what to do."""
        if self._connection is None:
            if not is_online():
                raise TrackerError(
                    f"WANDB_MODE={os.environ['WANDB_MODE']} lets nothing be asked of W&B; unset it"
                )
            if not configured() and not DEFAULT_ROOT.is_dir():
                raise TrackerError(
                    f"no W&B is configured, and there is no {DEFAULT_ROOT}/ here; run `wandb login`, or go "
                    "to the folder in which the trial was trained"
                )
            try:
                self._stack.enter_context(connected())
            except LaunchError as error:
                raise TrackerError(str(error)) from None
            connection = Connection.configured()
            self.entity = self.entity or connection.viewer(seconds=_SECONDS)
            self._connection = connection
        return self._connection

    def find(self, prefix: str, *, run: str | None = None) -> TrackedTrial | None:
        """The one trial whose run ID is, or begins with, `prefix`; None if there is none.

        `run`: entity/project/id of its run, where that is known. Raises TrackerError without an answer,
        UserError for several trials, all listed.
        """
        self.connect()
        entity, project = self.entity, self.project
        if run:
            # A run that was recorded offline names no entity; it is found once it was synced.
            entity, project = run.split("/")[0] or entity, run.split("/")[1]
        runs = self.runs_of(prefix, entity=entity, project=project)
        if not runs:
            return None
        known = next((item for item in runs if run and item.name == run.split("/")[2]), runs[0])
        return TrackedTrial(str(runs[0].config["run_id"]), f"{entity}/{project}/{known.name}", known.config)

    def runs_of(self, prefix: str, *, entity: str | None, project: str) -> list[RunView]:
        """W&B's runs of the one trial whose run ID is, or begins with, `prefix`, newest first; empty if none.

        Raises as `find`.
        """
        runs = find_runs(prefix, project=project, entity=entity, connection=self.connect(), seconds=_SECONDS)
        names = sorted({str(run.config["run_id"]) for run in runs})
        if prefix in names:
            names = [prefix]
        if len(names) > 1:
            raise UserError(
                f"{prefix!r} begins {len(names)} run IDs in {entity}/{project} on W&B; give more of it:"
                "\n  " + "\n  ".join(names)
            )
        return [run for run in runs if run.config["run_id"] in names]

    def qualified(self, artifact: str) -> str:
        """`[entity/project/]name[:version]` with project and version filled in."""
        name = artifact if "/" in artifact else f"{self.entity}/{self.project}/{artifact}"
        return name if ":" in name.rpartition("/")[2] else f"{name}:best"


def differing(tracked: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """What W&B and a checkpoint say differently of the settings that the checkpoint names, one text each."""
    ours = canonical(settings)
    theirs = {name: _comparable(tracked.get(name)) for name in ours}
    return [
        f"{name} ({theirs[name]!r} on W&B, {ours[name]!r} in the checkpoint)"
        for name in sorted(ours)
        if name not in tracked or theirs[name] != ours[name]
    ]


def _comparable(value: Any) -> Any:
    """W&B holds whatever a client wrote, a NaN too; such a value equals nothing of ours."""
    try:
        return canonical(value)
    except UserError:
        return str(value)
