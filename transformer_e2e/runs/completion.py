"""Completion records: one JSON file for each trial whose training is over, whatever became of its weights.

Its status moves forward only: trained -> uploaded (the copy is proven) -> cleaned (local weights deleted).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.durable import fsync, make_directory, write_json
from transformer_e2e.runs.identity import COMPLETION_DIR, RECORD_SUFFIX, check_name


class Status(StrEnum):
    TRAINED = "trained"
    UPLOADED = "uploaded"
    CLEANED = "cleaned"


class Ending(StrEnum):
    """How the training ended; only a pruned trial is trained anew."""

    FINISHED = "finished"
    EARLY_STOPPED = "early_stopped"
    DIVERGED = "diverged"
    PRUNED = "pruned"


@dataclass(frozen=True, kw_only=True)
class Record:
    run_id: str
    status: Status
    outcome: Ending
    metrics: dict[str, float]  # final ones, all finite
    metric_name: str
    goal: str
    best_metric: float | None  # best of all evaluations; None: never evaluated
    steps: int | None  # optimizer steps taken
    seconds: float  # wall time of all attempts that ended by themselves
    counted: dict[str, Any]  # the settings that decided the result
    wandb_run: str | None = None  # entity/project/id of the run that has the whole history; None: W&B was off
    url: str | None = None
    history_sent: bool = False  # W&B has every row, for certain
    artifact: str | None = None  # entity/project/name:version, once its copy is proven
    digests: dict[str, str] = field(default_factory=dict)  # SHA-256 of the artifact's files
    schema: dict[str, Any] | None = (
        None  # task, fields and labels of a Hugging Face model; None: no such model
    )
    measured_on: dict[str, str | int] = field(
        default_factory=dict
    )  # data of the metrics: name, split, examples
    kept_local: bool = False  # local weights stay although a copy is proven, or is not wanted (--keep_local)
    freed_bytes: int = 0  # of local weights that the cleaning deleted
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    updated_at: str = ""

    @property
    def wandb_id(self) -> str:
        """W&B's id of the run with the whole history; empty if there is none."""
        return (self.wandb_run or "").rpartition("/")[2]

    def describe_metric(self) -> str:
        """`best eval/loss 1.234`, for people."""
        return (
            f"best {self.metric_name} {self.best_metric:.4g}" if self.best_metric is not None else "no metric"
        )


_FIELDS = {item.name for item in fields(Record)}


def record_path(root: Path, run_id: str) -> Path:
    check_name(run_id)
    return root / COMPLETION_DIR / f"{run_id}{RECORD_SUFFIX}"


def write(root: Path, record: Record) -> Record:
    """Make or replace the record, on disk before this returns. The caller holds the trial's lock."""
    path = record_path(root, record.run_id)
    make_directory(path.parent)
    record = replace(record, updated_at=datetime.now(UTC).isoformat(timespec="seconds"))
    write_json(path, asdict(record))
    return record


def read(root: Path, run_id: str) -> Record | None:
    """None if there is no record. Raises CheckpointError, and says what to do, if it cannot be used."""
    path = record_path(root, run_id)
    try:
        return _parse(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(
            f"the completion record {path} cannot be read: {error.strerror}; is --checkpoint_dir a folder of "
            f"yours?"
        ) from None
    except ValueError as error:
        raise CheckpointError(
            f"the completion record {path} is damaged ({error}); repair it, or remove it with "
            f'`python scripts/manage_completed_runs.py clear "{run_id}"`'
        ) from None


def is_done(root: Path, run_id: str) -> bool:
    """Whether the training is over for good: nothing would be trained if the trial were started now."""
    record = read(root, run_id)
    return record is not None and record.outcome is not Ending.PRUNED


def note_history_sent(root: Path, run_id: str, *, wandb_run: str, url: str | None) -> None:
    """Say that this W&B run, which the record names by the same id or lacks, has every row. Repeatable."""
    record = read(root, run_id)
    if record and not record.history_sent and record.wandb_id in ("", wandb_run.rpartition("/")[2]):
        write(root, replace(record, history_sent=True, wandb_run=wandb_run, url=url))


def remove(root: Path, run_id: str) -> bool:
    """Forget the trial's completion; False if there was no record."""
    path = record_path(root, run_id)
    if not path.exists():
        return False
    path.unlink()
    fsync(path.parent)
    return True


def records(root: Path, *, say: Callable[[str], None] | None = None) -> list[Record]:
    """Every readable record, oldest first; damaged ones are said (by default on stderr) and skipped."""
    return sorted(_readable(root, say or _warn), key=lambda record: (record.created_at, record.run_id))


def _readable(root: Path, say: Callable[[str], None]) -> Iterator[Record]:
    for path in (root / COMPLETION_DIR).glob(f"*{RECORD_SUFFIX}"):
        try:
            yield _parse(path)
        except FileNotFoundError:  # cleared by somebody else in between
            continue
        except (ValueError, OSError) as error:
            run_id = path.name.removesuffix(RECORD_SUFFIX)
            say(f"skipping the damaged completion record {path} (`clear {run_id}` removes it): {error}")


def _parse(path: Path) -> Record:
    """Raises ValueError for anything that is no record; unknown keys of a later version are left out."""
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not an object")
    known = {name: value for name, value in content.items() if name in _FIELDS}
    try:
        known["status"], known["outcome"] = Status(known["status"]), Ending(known["outcome"])
        record = Record(**known)
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from None
    except TypeError as error:
        raise ValueError(str(error)) from None
    if record.run_id != path.name.removesuffix(RECORD_SUFFIX):
        raise ValueError(f"it belongs to {record.run_id!r}")
    return record


def _warn(text: str) -> None:
    print(text, file=sys.stderr)
