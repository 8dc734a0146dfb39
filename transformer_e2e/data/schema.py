"""What a trained model needs to know of its examples; `schema.json` beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformer_e2e.errors import CheckpointError

SCHEMA = "schema.json"


@dataclass(frozen=True, kw_only=True)
class Schema:
    """`task` is one of `config.hf_settings.TASKS`; what a task does not have is empty or None."""

    task: str
    data_name: str  # as given: a hub name, a built-in name, or the file's name
    max_length: int  # tokens of one input
    text_fields: tuple[str, ...] = ()  # columns of the text, one or two
    label_field: str | None = None
    labels: tuple[str, ...] = ()  # names by class number; empty: regression, or a task without labels
    problem: str | None = None  # "classification" or "regression"
    extra: Mapping[str, Any] = field(default_factory=dict)  # what only this task needs, e.g. doc_stride

    def as_json(self) -> dict[str, Any]:
        """The same in JSON values, as the file and the completion record hold it."""
        return {**asdict(self), "text_fields": list(self.text_fields), "labels": list(self.labels)}

    def save(self, directory: Path) -> None:
        text = json.dumps(self.as_json(), indent=2) + "\n"
        (directory / SCHEMA).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Schema:
        """Raises CheckpointError if there is none, or if it cannot be used."""
        path = directory / SCHEMA
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                **{**found, "text_fields": tuple(found["text_fields"]), "labels": tuple(found["labels"])}
            )
        except KeyError as error:
            raise CheckpointError(f"{path} lacks {error}: it is not what train_hf writes") from error
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
