"""What --report_to and W&B's variables for Hugging Face's Trainer mean here: our own bridge, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformer_e2e.config.convert import FALSE_WORDS, TRUE_WORDS

UPLOADING = ("end", "checkpoint", *TRUE_WORDS)  # values of WANDB_LOG_MODEL; the best model is what goes up


@dataclass(frozen=True)
class Reporting:
    """`silent`: nothing goes to W&B. `upload`: the model does, and is deleted here then."""

    silent: bool
    upload: bool
    project: str | None  # None: none was given
    notes: list[str] = field(default_factory=list)


def reporting(
    values: Mapping[str, Any], sources: Mapping[str, str], environment: Mapping[str, str]
) -> Reporting:
    """Flags win over the environment."""
    switched_off = environment.get("WANDB_DISABLED", "").lower() in TRUE_WORDS
    silent = values["report_to"] in (None, [], ["none"]) or (
        switched_off and sources["report_to"] == "default"
    )
    notes = []
    upload, wish = bool(values["upload"]), environment.get("WANDB_LOG_MODEL", "").lower()
    if wish in FALSE_WORDS and sources["upload"] == "default":
        upload = False
        notes.append("WANDB_LOG_MODEL=false: the model is not uploaded, and stays here")
    elif wish and wish not in (*UPLOADING, *FALSE_WORDS):
        notes.append(
            f"WANDB_LOG_MODEL={wish} is none of end, checkpoint and false; the best model is uploaded"
        )
    if (watch := environment.get("WANDB_WATCH", "")).lower() not in ("", *FALSE_WORDS):
        notes.append(
            f"WANDB_WATCH={watch} has no effect: histograms could not be repeated exactly after a kill; "
            f"train/grad_norm is logged"
        )
    project = values["project"] if sources["project"] != "default" else environment.get("WANDB_PROJECT")
    return Reporting(silent, upload and not silent, project or None, notes)
