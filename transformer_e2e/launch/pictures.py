"""The picture of one trial, from what lies on this disk or from what W&B holds."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.errors import CheckpointError
from transformer_e2e.plots.history import TrialHistory
from transformer_e2e.plots.trial import plot_trial
from transformer_e2e.runs import completion
from transformer_e2e.runs.attempts import read_attempts
from transformer_e2e.runs.config_file import known_settings
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.spec import DIVERGED_METRIC
from transformer_e2e.runs.tracker_connection import Connection
from transformer_e2e.runs.tracker_histories import history_rows
from transformer_e2e.runs.tracker_queries import RunView

YARDSTICK = "yardstick/"  # metrics.yardsticks' results, as the trainer records them


def draw_trial(root: Path, run_id: str, plot_dir: Path) -> Path | None:
    """Write `plot_dir`/<run_id>.png of the trial below `root`; None if it has logged no loss yet."""
    return plot_trial(local_history(root, run_id), plot_dir / f"{run_id}.png")


def draw_after_training(root: Path, run_id: str, plot_dir: Path, say: Callable[[str], None]) -> None:
    """`draw_trial` for the end of a training: nothing that goes wrong with a picture changes the outcome."""
    try:
        if picture := draw_trial(root, run_id, plot_dir):
            say(f"picture: {picture}")
    except Exception as error:
        where = [] if root == Path(ModelChoice.checkpoint_dir) else ["--checkpoint_dir", str(root)]
        command = ["python", "-m", "transformer_e2e.scripts.plot", run_id, *where]
        again = shlex.join([*command, "--plot_dir", "another/folder"])
        say(f"warning: no picture ({type(error).__name__}: {error}); the trial itself is safe. Try: {again}")


def local_history(root: Path, run_id: str) -> TrialHistory:
    """What this disk knows of the trial; without rows if that is nothing."""
    directory = root / run_id
    record = None
    with contextlib.suppress(CheckpointError):  # a damaged record is no reason to go without a picture
        record = completion.read(root, run_id)
    attempts = read_attempts(directory)
    rows = read_journal(directory)
    unit = unit_of(known_settings(directory).get("task"))
    if record is None:
        return TrialHistory(
            run_id=run_id, rows=rows, attempts=attempts, outcome=_last_ending(attempts), unit=unit
        )
    return TrialHistory(
        run_id=run_id,
        rows=without_worst(rows, record.metric_name),
        attempts=attempts,
        outcome=str(record.outcome),
        metric=record.metric_name,
        goal=record.goal,
        unit=unit,
        yardsticks=yardsticks_of(record.metrics),
    )


def without_worst(rows: Sequence[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """`rows` without the value that stands for "diverged" in W&B's charts; it would flatten every curve."""
    return [
        {
            **row,
            "metrics": {
                name: value
                for name, value in row["metrics"].items()
                if name != metric or abs(value) < DIVERGED_METRIC
            },
        }
        for row in rows
    ]


def yardsticks_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Bits per byte by name, of whatever yardsticks `metrics` holds."""
    return {
        name.removeprefix(YARDSTICK): float(value)
        for name, value in metrics.items()
        if name.startswith(YARDSTICK) and isinstance(value, int | float)
    }


def _last_ending(attempts: Sequence[Mapping[str, Any]]) -> str:
    """How the newest attempt ended, as the ledger says; empty while it runs, or after a kill -9."""
    last = attempts[-1] if attempts else {}
    return str(last.get("outcome", "")) if last.get("event") == "end" else ""


def remote_history(run: RunView, *, entity: str, project: str) -> TrialHistory:
    """What W&B knows of a trial; which attempt took which steps is only in its own directory.

    Raises TrackerError.
    """
    rows = history_rows(Connection.configured(), run.name, entity=entity, project=project)
    return TrialHistory(
        run_id=str(run.config.get("run_id") or run.display_name),
        rows=without_worst(rows, TrialHistory.metric),
        outcome="diverged" if run.summary.get("diverged") else run.state,
        yardsticks=yardsticks_of(run.summary),
        unit=unit_of(run.config.get("task")),
    )


def unit_of(task: Any) -> str:
    """Of the losses of a task of the Hugging Face program; None is a language model from scratch."""
    return "" if task in ("classification", "extractive_qa") else "nats/token"
