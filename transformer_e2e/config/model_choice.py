"""Which trained model a command uses, and where it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from transformer_e2e.config.option import option
from transformer_e2e.config.settings import DEVICES


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """One model. Without run_id, checkpoint and artifact the newest trial that is done is used."""

    # Of each group one setting is given. A flag makes the file's keys of its group void.
    EXCLUSIVE: ClassVar[tuple[tuple[str, ...], ...]] = (("run_id", "checkpoint", "artifact"),)

    run_id: str | None = option(None, "any unique beginning of a run ID", counts=False)
    checkpoint: str | None = option(None, "a checkpoint directory, or a trial's", counts=False)
    artifact: str | None = option(None, "an artifact, e.g. model-<run_id>:best", counts=False)
    device: str = option("auto", "auto takes cuda, then mps, then cpu", counts=False, choices=DEVICES)
    checkpoint_dir: str = option("model_checkpoints", "folder of trials and records", counts=False)
    project: str | None = option(
        None, "W&B project (None: WANDB_PROJECT, else transformer-e2e)", counts=False
    )
    entity: str | None = option(None, "W&B entity (None: WANDB_ENTITY, else the key's own)", counts=False)

    def flags(self) -> list[str]:
        """What names this model in another command, started in the same folder."""
        default = type(self)()
        names = (*self.EXCLUSIVE[0], "checkpoint_dir", "project", "entity")
        values = {name: getattr(self, name) for name in names}
        return [
            text
            for name, value in values.items()
            if value != getattr(default, name)
            for text in (f"--{name}", value)
        ]

    def problems(self) -> list[str]:
        """What is wrong with settings taken together."""
        return []
