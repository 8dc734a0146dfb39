"""A trial that is not on this disk: looked up on the W&B that is configured, else on the embedded server."""

from __future__ import annotations

import os

from transformer_e2e.errors import TrackerError, UserError
from transformer_e2e.launch.environment import DEFAULT_PROJECT, load_dotenv
from transformer_e2e.launch.server import DEFAULT_ROOT, configured, connected
from transformer_e2e.runs.identity import UnknownTrial, several
from transformer_e2e.runs.tracker_connection import Connection, is_online
from transformer_e2e.runs.tracker_queries import RunView, find_runs


def find_remote(
    prefix: str, *, project: str | None, entity: str | None, unknown: UnknownTrial
) -> tuple[str, list[RunView]]:
    """(`entity/project`, W&B's runs of the one trial whose run ID is or begins with `prefix`, newest first).

    `project` None: WANDB_PROJECT, else the default; `entity` None: WANDB_ENTITY, else the key's own.
    `unknown` says why it was not found here. Raises UserError: W&B has none, or several, or does not answer.
    """
    load_dotenv()
    if not is_online():
        raise UserError(f"{unknown}; W&B was not asked, because WANDB_MODE={os.environ['WANDB_MODE']}")
    if not configured() and not DEFAULT_ROOT.is_dir():
        raise UserError(f"{unknown}; no W&B is configured that could be asked")
    project = project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
    with connected():
        try:
            connection = Connection.configured()
            entity = entity or os.environ.get("WANDB_ENTITY") or connection.viewer()
            runs = find_runs(prefix, project=project, entity=entity, connection=connection)
        except TrackerError as error:
            raise UserError(f"{unknown}; and W&B could not be asked: {error}") from None
    found = sorted({str(run.config["run_id"]) for run in runs})
    if not found:
        raise UserError(f"{unknown}; {entity}/{project} on W&B has no run of it either")
    if len(found) > 1 and prefix not in found:
        raise several(prefix, found)
    name = prefix if prefix in found else found[0]
    return f"{entity}/{project}", [run for run in runs if run.config["run_id"] == name]
