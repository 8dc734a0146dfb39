"""The pictures of a sweep and the page that shows them, from W&B and from the journals on this disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_e2e.errors import TrackerError
from transformer_e2e.launch.page import write_page
from transformer_e2e.launch.report import checkpoint_root
from transformer_e2e.launch.spec import metric_of, searched
from transformer_e2e.launch.sweep import SweepPath
from transformer_e2e.launch.trials import TrialRow, setting
from transformer_e2e.plots.point import SweepPoint
from transformer_e2e.plots.sweep import plot_sweep
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.spec import DIVERGED_METRIC
from transformer_e2e.runs.tracker_connection import Connection
from transformer_e2e.runs.tracker_histories import Curve, metric_curves


def picture_sweep(
    path: SweepPath,
    spec: dict[str, Any],
    rows: Sequence[TrialRow],
    plot_dir: Path,
    say: Callable[[str], None],
) -> Path | None:
    """Draw the sweep below `plot_dir`/<its id>, and say what was written and what was not.

    Returns the page with all of it. Nothing that goes wrong with a picture is raised: it is said, and the
    page is missing (None).
    """
    again = f"to try again: python -m transformer_e2e.scripts.plot {path}"
    directory = plot_dir / path.id
    try:
        names, (metric, goal) = searched(spec), metric_of(spec)
        curves, unread = curves_of(path, rows, metric)
        pictures = plot_sweep(points_of(rows, names, curves), metric, goal, directory)
        notes = [*pictures.notes]
        if unread:
            notes.append(
                f"curves.png lacks {unread} of {len(rows)} trials: they ran elsewhere, and W&B did not give "
                f"their history"
            )
        page = write_page(directory, path, rows, names, (metric, goal), pictures.paths, notes)
    except Exception as error:
        say(f"warning: no pictures ({type(error).__name__}: {error}); the trials are safe; {again}")
        return None
    if pictures.paths:
        say("\npictures: " + ", ".join(str(picture) for picture in pictures.paths))
    if unread:
        say(f"warning: {notes[-1]}; {again}")
    for note in pictures.notes:
        say(note)
    say(f"all of it on one page: {page}")
    return page


def points_of(
    rows: Sequence[TrialRow], names: Sequence[str], curves: Mapping[str, Curve]
) -> list[SweepPoint]:
    """The trials, in the order in which they were issued, as the pictures show them."""
    began = min((row.started for row in rows if row.started is not None), default=0.0)
    return [
        SweepPoint(
            name=row.run_id,
            settings={name: setting(row.settings, name) for name in names},
            value=row.value,
            finished=row.outcome == "finished",
            curve=curves.get(row.run, []),
            number=number,
            ended=None if row.ended is None else (row.ended - began) / 3600,
        )
        for number, row in enumerate(rows, start=1)
    ]


def curves_of(path: SweepPath, rows: Sequence[TrialRow], metric: str) -> tuple[dict[str, Curve], int]:
    """The metric over the steps, by W&B run: from this disk where the journal is whole, else from W&B.

    Also returns how many could not be read.
    """
    curves: dict[str, Curve] = {}
    elsewhere = []
    for row in rows:
        journal = read_journal(checkpoint_root(row) / row.run_id)
        if journal and len(journal) >= row.logged:
            found = [(float(line["step"]), line["metrics"].get(metric)) for line in journal]
            curves[row.run] = [(step, value) for step, value in found if value is not None]
        elif row.logged:
            elsewhere.append(row.run)
    fetched: dict[str, Curve] = {}
    if elsewhere:
        try:
            connection = Connection.configured()
            fetched = metric_curves(connection, elsewhere, metric, entity=path.entity, project=path.project)
        except TrackerError:  # no key: counted below as not read
            pass
    shown = {run: _without_worst(curve) for run, curve in {**curves, **fetched}.items()}
    return shown, len(elsewhere) - len(fetched)


def _without_worst(curve: Curve) -> Curve:
    return [(step, value) for step, value in curve if abs(value) < DIVERGED_METRIC]
