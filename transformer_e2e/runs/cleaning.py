"""The last step of a trial's life: its local weights go, and its record says how many bytes they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transformer_e2e.runs import completion
from transformer_e2e.runs.checkpoints import CheckpointStore
from transformer_e2e.runs.completion import Record, Status


def clean(record: Record, *, root: Path, store: CheckpointStore) -> Record:
    """Delete the trial's local weights, and say so in its record. Only for the holder of its lock.

    Repeatable after a kill. The bytes are written down before anything goes, so that a kill in between does
    not lose their number.
    """
    if (size := store.size()) > record.freed_bytes:
        record = completion.write(root, replace(record, freed_bytes=size))
    store.remove_all()
    return completion.write(root, replace(record, status=Status.CLEANED))
