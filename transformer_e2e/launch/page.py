"""One HTML file about a sweep: its trials, its pictures, its best model, and what to type. No network."""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from transformer_e2e.config.settings import Settings
from transformer_e2e.launch.report import artifact_of, bits_per_byte, yardstick_lines
from transformer_e2e.launch.samples import uses
from transformer_e2e.launch.sweep import SweepPath
from transformer_e2e.launch.trials import TrialRow, finished_best, ranked, setting
from transformer_e2e.plots.scale import label
from transformer_e2e.runs.durable import write_text
from transformer_e2e.runs.times import clock

PAGE_NAME = "index.html"
_CAPTIONS = {
    "curves": "Learning curves",
    "progress": "The best so far",
    "settings": "The metric against each setting",
    "parallel": "All settings at once",
    "importance": "What mattered",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --paper: #fbfcfd; --card: #fff;
  --line: #dde3e9; --mark: #0072b2 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --soft: #9fb0c0; --paper: #12171c;
  --card: #1b2229; --line: #303b45; --mark: #56b4e9 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p { margin: .3rem 0 } .soft { color: var(--soft) } a { color: var(--mark) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem;
  margin: .8rem 0 }
.wide { overflow: auto; max-height: 44rem }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums }
th, td { padding: .32rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--soft); font-weight: 600 } th:first-child, td:first-child { text-align: left }
tr.best td { font-weight: 700; color: var(--mark) } tr.faint td { color: var(--soft) }
code, pre { font: .84rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
pre { white-space: pre-wrap; margin: .3rem 0 .9rem }
figure { margin: 1rem 0; padding: .8rem; background: #fff; border: 1px solid var(--line);
  border-radius: .6rem }
figure img { display: block; max-width: 100%; height: auto; margin: auto }
"""


def write_page(
    directory: Path,
    path: SweepPath,
    rows: Sequence[TrialRow],
    names: Sequence[str],
    goal_of: tuple[str, str],
    pictures: Sequence[Path],
    notes: Sequence[str],
) -> Path:
    """Write `directory`/index.html, pictures inside, and return it. `goal_of`: the metric and its goal."""
    metric, goal = goal_of
    best = finished_best(rows, goal)
    outcomes = {row.outcome: sum(other.outcome == row.outcome for other in rows) for row in rows}
    counts = ", ".join(
        f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=lambda x: -x[1])
    )
    link = f' · <a href="{escape(path.url)}">on W&amp;B</a>' if path.url else ""
    parts = [
        f"<h1>Sweep {escape(str(path))}</h1>",
        f'<p class="soft">{len(rows)} trials: {escape(counts)} · {escape(goal)} {escape(metric)} · '
        f"as of {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}{link}</p>",
        _best(best, path, metric) if best else '<p class="card">No trial has finished yet.</p>',
        "<h2>Trials</h2>",
        _table(directory, rows, names, metric, goal),
        *[f'<p class="soft">{escape(note)}</p>' for note in notes],
        *[_figure(picture) for picture in pictures],
    ]
    text = (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>Sweep {escape(path.id)}</title><style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</html>\n"
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / PAGE_NAME, text)
    return directory / PAGE_NAME


def reproduce(settings: Mapping[str, Any]) -> str | None:
    """The command that trains the same model alone: every setting that decides the result and is not its
    default. None if `settings` are not this program's."""
    defaults = Settings().counted()
    if not set(defaults) <= set(settings):
        return None
    flags = [f"--{name}={settings[name]}" for name in defaults if settings[name] != defaults[name]]
    return shlex.join(["python", "-m", "transformer_e2e.scripts.train", "--mode", "single", *flags])


def _best(row: TrialRow, path: SweepPath, metric: str) -> str:
    artifact = artifact_of(row, f"{path.entity}/{path.project}")
    commands = [
        ("Use it", shlex.join(["python", *use])) for use in uses(row.settings, ["--artifact", artifact])
    ]
    if again := reproduce(row.settings):
        commands.append(("Train the same model again, alone", again))
    value = "" if row.value is None else f"{row.value:.5g}"
    lines = [
        '<h2>The best model</h2><div class="card">',
        f"<p><b>{escape(row.run_id)}</b></p><p>best {escape(metric)} <b>{value}</b>, artifact "
        f"<code>{escape(artifact)}</code></p>",
    ]
    if yardsticks := yardstick_lines(row):
        lines.append(f'<pre class="soft">{escape(chr(10).join(yardsticks))}</pre>')
    for title, command in commands:
        lines.append(f'<p class="soft">{escape(title)}</p><pre>{escape(command)}</pre>')
    return "\n".join([*lines, "</div>"])


def _table(directory: Path, rows: Sequence[TrialRow], names: Sequence[str], metric: str, goal: str) -> str:
    heads = ["trial", "outcome", *names, metric, "bits/byte", "time"]
    lines = ["<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"]
    best = finished_best(rows, goal)
    for row in ranked(rows, goal):
        bits = bits_per_byte(row)
        cells = [
            row.outcome,
            *[label(setting(row.settings, name)) for name in names],
            "" if row.value is None else f"{row.value:.4f}",
            "" if bits is None else f"{bits:.3f}",
            "" if row.seconds is None else clock(row.seconds),
        ]
        look = ' class="best"' if row is best else ' class="faint"' if row.outcome != "finished" else ""
        lines.append(
            f"<tr{look}><td>{_name(directory, row)}</td>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    return '<div class="card wide"><table>' + "\n".join(lines) + "</table></div>"


def _name(directory: Path, row: TrialRow) -> str:
    """The run ID, leading to the trial's own picture where that is on this disk."""
    plots = Path(str(row.settings.get("plot_dir") or directory.parent))
    picture = plots / f"{row.run_id}.png"
    if not picture.is_file():
        return escape(row.run_id)
    return f'<a href="{escape(os.path.relpath(picture, directory))}">{escape(row.run_id)}</a>'


def _figure(picture: Path) -> str:
    content = base64.b64encode(picture.read_bytes()).decode()
    caption = _CAPTIONS.get(picture.stem, picture.stem)
    return (
        f"<h2>{escape(caption)}</h2><figure>"
        f'<img alt="{escape(caption)}" src="data:image/png;base64,{content}"></figure>'
    )
