"""Everything this disk knows of one trial: where it stands, how it came there, what its next start would do.

Reads files only: no torch, no W&B, so it answers at once; also while the trial is in training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.config.settings import Settings
from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs import completion
from transformer_e2e.runs.attempts import read_attempts
from transformer_e2e.runs.checkpoints import best_of, sealed_checkpoints
from transformer_e2e.runs.completion import Ending, Record, Status
from transformer_e2e.runs.config_file import known_settings, known_wandb_run_id
from transformer_e2e.runs.durable import tree_size
from transformer_e2e.runs.identity import canonical
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.lock import is_held
from transformer_e2e.runs.manifest import seal

_PACE_ROWS = 100  # the last rows that the pace is taken from
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Newest:
    """The newest checkpoint whose manifest can be read."""

    step: int
    digest: str  # SHA-256 of its manifest
    bytes: int
    seconds_old: float
    metrics: dict[str, float]  # the last value of each when it was made
    best_step: int  # of the best checkpoint here


@dataclass(frozen=True)
class Progress:
    step: int  # last one logged
    max_steps: int | None  # None: the settings do not say
    steps_per_second: float | None  # of the newest attempt, evaluations and checkpoints included

    @property
    def seconds_left(self) -> float | None:
        """At the pace of now; None: unknown."""
        if self.max_steps is None or not self.steps_per_second:
            return None
        return (self.max_steps - self.step) / self.steps_per_second


@dataclass(frozen=True)
class AttemptView:
    """One process that worked on the trial."""

    number: int
    began: str  # ISO, UTC
    place: str  # host and process
    device: str
    ended: str | None  # how; None: it was killed, or works on it now
    exit_code: int | None
    seconds: float | None
    steps: int | None  # optimizer steps in all when it ended


@dataclass(frozen=True)
class TrialStatus:
    run_id: str
    directory: Path
    live: bool  # a process holds it now
    record: Record | None  # None: its training is not over, or the record is damaged
    damage: str | None  # what is wrong with files of it
    settings: dict[str, Any]  # those that decide the result
    changed: tuple[str, ...]  # names of those that are not the defaults
    progress: Progress
    newest: Newest | None
    attempts: tuple[AttemptView, ...]
    metrics: dict[str, float]  # the last value of each
    wandb_run: str | None  # W&B's id or path
    bytes: int  # on this disk

    @property
    def next_start(self) -> str:
        """What the trial's command would do if it were given now."""
        record = self.record
        if self.live:
            return "wait until the attempt that works on it ends, then see what is left (--no_wait: exit 75)"
        if self.damage:
            return "refuse, because its record is damaged"
        if record is None:
            return _continue_from(self.newest)
        if record.outcome is Ending.PRUNED:
            return "train anew from step 0, because it was pruned"
        pending = {Status.TRAINED: "upload its model, prove the copy, clean up", Status.UPLOADED: "clean up"}
        if record.kept_local:
            pending[Status.UPLOADED] = "do nothing, unless given without --keep_local: then clean up"
        todo = pending.get(record.status, "do nothing, because it is done")
        return f"{todo}; --force trains it again from step 0"

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "directory": str(self.directory),
            "seconds_left": self.progress.seconds_left if self.live else None,
            "next_start": self.next_start,
        }


def status(root: Path, run_id: str) -> TrialStatus:
    """Of a trial that has a record or a directory below `root`. What is damaged is said, not raised."""
    directory = root / run_id
    record, damage = None, None
    try:
        record = completion.read(root, run_id)
    except CheckpointError as error:
        damage = str(error)
    rows, attempts = _rows(directory), read_attempts(directory)
    settings = dict(record.counted) if record else known_settings(directory)
    return TrialStatus(
        run_id=run_id,
        directory=directory,
        live=is_held(directory),
        record=record,
        damage=damage,
        settings=settings,
        changed=_changed(settings),
        progress=_progress(rows, attempts, settings),
        newest=_newest(directory, rows),
        attempts=tuple(_attempt_views(attempts)),
        metrics=_last_values(rows),
        wandb_run=record.wandb_run if record else known_wandb_run_id(directory),
        bytes=tree_size(directory),
    )


def _continue_from(newest: Newest | None) -> str:
    if newest is None:
        return "train from step 0"
    return f"continue after step {newest.step}, if that checkpoint verifies"


def _rows(directory: Path) -> list[dict[str, Any]]:
    try:
        return read_journal(directory)
    except ValueError:  # damaged by other hands; the next start cuts it off there
        return []


def _last_values(rows: Sequence[Row]) -> dict[str, float]:
    last: dict[str, float] = {}
    for row in rows:
        last |= row["metrics"]
    return last


def _changed(settings: Mapping[str, Any]) -> tuple[str, ...]:
    defaults = canonical(_defaults(settings))
    return tuple(
        name
        for name, value in settings.items()
        if name not in defaults or canonical({name: value})[name] != defaults[name]
    )


def _defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of the program that made the trial; Hugging Face's own are not known without seconds of imports."""
    if settings.get("program") != "train_hf":
        return Settings().flat()
    data = DataArguments(task=str(settings.get("task")))
    found = vars(ModelArguments()) | vars(data) | vars(RunArguments())
    return {name: value for name, value in found.items() if name != "task"}


def _progress(rows: Sequence[Row], attempts: Sequence[Row], settings: Mapping[str, Any]) -> Progress:
    limit = settings.get("max_steps")
    began = _last_start(attempts)
    recent = [row for row in rows if row["metrics"] and row["time"] >= began][-_PACE_ROWS:]
    pace = None
    if len(recent) > 1 and recent[-1]["time"] > recent[0]["time"]:
        pace = (recent[-1]["step"] - recent[0]["step"]) / (recent[-1]["time"] - recent[0]["time"])
    return Progress(
        step=max((int(row["step"]) for row in rows), default=0),
        max_steps=limit if isinstance(limit, int) else None,
        steps_per_second=pace,
    )


def _last_start(attempts: Sequence[Row]) -> float:
    """Seconds since 1970; 0 without one."""
    starts = [line for line in attempts if line.get("event") == "start"]
    try:
        return datetime.fromisoformat(starts[-1]["time"]).timestamp()
    except (IndexError, KeyError, ValueError, TypeError):
        return 0.0


def _newest(directory: Path, rows: Sequence[Row]) -> Newest | None:
    checkpoints = sealed_checkpoints(directory)
    best = best_of(checkpoints)
    if best is None:
        return None
    newest = checkpoints[0]
    try:
        return Newest(
            step=newest.step,
            digest=seal(newest.directory),
            bytes=tree_size(newest.directory),
            seconds_old=time.time() - newest.directory.stat().st_mtime,
            metrics=_last_values(rows[: newest.manifest.rows]),
            best_step=best.step,
        )
    except FileNotFoundError:  # its trial has just made a newer one
        return _newest(directory, rows)


def _attempt_views(lines: Sequence[Row]) -> list[AttemptView]:
    ends = {line.get("attempt"): line for line in lines if line.get("event") == "end"}
    found = []
    for line in lines:
        if line.get("event") == "start":
            end = ends.get(line.get("attempt"), {})
            found.append(
                AttemptView(
                    number=int(line.get("attempt", 0)),
                    began=str(line.get("time", "")),
                    place=f"{line.get('host')}:{line.get('pid')}",
                    device=str(end.get("device") or line.get("device") or ""),
                    ended=end.get("outcome"),
                    exit_code=end.get("exit_code"),
                    seconds=end.get("seconds"),
                    steps=end.get("steps"),
                )
            )
    return found
