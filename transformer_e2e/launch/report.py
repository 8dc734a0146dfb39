"""What is said when a sweep is over: the trials, the yardsticks, the pictures, what to type next."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformer_e2e.config.wording import several
from transformer_e2e.errors import CheckpointError
from transformer_e2e.launch.afterwards import manage_command
from transformer_e2e.launch.screen import MARKS
from transformer_e2e.launch.trials import FAILED, TrialRow, ranked, setting
from transformer_e2e.plots.scale import label
from transformer_e2e.runs.completion import read as read_record
from transformer_e2e.runs.times import clock
from transformer_e2e.runs.tracker_queries import DATA_PREFIX

BITS = "eval/bits_per_byte"
YARDSTICKS = {  # the names that metrics.yardsticks gives them
    "gzip": "gzip -9 of the validation text alone",
    "bigram": "smoothed bigram counts over the same tokens",
    "xz": "xz -9 of the validation text alone",
    "xz_primed": "xz -9 of the validation text after the training text",
}
_FACTS = {"name": "data", "split": "split", "examples": "examples"}  # what a trial's metrics come from
_NAME_WIDTH = 12
_WIDEST = 1000  # characters; a file or a pipe has no width, and gets every table whole
_INDENT = "     "


def table(rows: Sequence[TrialRow], searched: Sequence[str], metric: str, goal: str) -> str:
    """One line a trial, the best first and marked; coloured on a terminal. On a screen that is too narrow for
    that a trial takes a few lines, and nothing is cut off."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    facts = [name for name in _FACTS if any(DATA_PREFIX + name in row.summary for row in rows)]
    titles = [_FACTS[name] for name in facts]
    bits = ["bits/byte"] if any(bits_per_byte(row) is not None for row in rows) else []
    for title in ("", "trial", "outcome", *searched, *titles, metric, *bits, "time"):
        shown.add_column(
            in_lines(title) if title in searched else title,
            no_wrap=True,
            justify="left" if title in ("", "trial") else "right",
        )
    for place, row in enumerate(ranked(rows, goal)):
        style = MARKS.get(row.outcome)
        shown.add_row(
            _mark(place, row),
            row.run_id,
            f"[{style}]{row.outcome}[/]" if style else row.outcome,
            *[label(setting(row.settings, name)) for name in searched],
            *[_fact(row, name) for name in facts],
            _value(row),
            *[_bits_text(row) for _ in bits],
            _time(row),
            style="bold" if _mark(place, row) else None,
        )
    needed = Console(width=_WIDEST).measure(shown).maximum
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else needed
    if needed > width:
        return "\n".join(_stacked(ranked(rows, goal), searched, facts, metric, width))
    console = Console(width=width)
    with console.capture() as capture:
        console.print(shown)
    return capture.get().rstrip("\n")


def _stacked(
    rows: Sequence[TrialRow], searched: Sequence[str], facts: Sequence[str], metric: str, width: int
) -> Iterator[str]:
    """A line for each trial, and below it what was searched and what it was measured on."""
    for place, row in enumerate(rows):
        bits = f"bits/byte {_bits_text(row)}" if bits_per_byte(row) is not None else ""
        value = f"{metric} {_value(row)}" if row.value is not None else ""
        yield "  ".join(
            filter(None, (_mark(place, row) or " ", row.run_id, row.outcome, value, bits, _time(row)))
        )
        settings = ", ".join(f"{name} {label(setting(row.settings, name))}" for name in searched)
        measured = ", ".join(filter(None, (_fact(row, name) for name in facts)))
        for text in (settings, f"{measured} examples" if measured else ""):
            yield from textwrap.wrap(
                text,
                width,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )


def _mark(place: int, row: TrialRow) -> str:
    return "*" if place == 0 and row.value is not None else ""


def _value(row: TrialRow) -> str:
    return "" if row.value is None else f"{row.value:.4f}"


def _time(row: TrialRow) -> str:
    return "" if row.seconds is None else clock(row.seconds)


def in_lines(name: str) -> str:
    """A setting's name, broken after underscores where it is long: `per_device_`, `train_batch_`, `size`."""
    lines = [""]
    for part in name.replace("_", "_ ").split(" "):
        if lines[-1] and len(lines[-1]) + len(part) > _NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def yardstick_lines(best: TrialRow) -> list[str]:
    """How the best model's bits per byte compare with what needs no model; [] where nothing was logged."""
    bits = bits_per_byte(best)
    found = {name: best.summary.get(f"yardstick/{name}") for name in YARDSTICKS}
    known = {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
    if bits is None or not known:
        return []
    lines = [f"bits per byte of the validation text, best model: {bits:.3f}"]
    for name, value in sorted(known.items(), key=lambda item: -item[1]):
        verdict = f"beaten by {value - bits:.3f}" if bits < value else f"missed by {bits - value:.3f}"
        lines.append(f"  {value:.3f}  {YARDSTICKS[name]}: {verdict}")
    return lines


def bits_per_byte(row: TrialRow) -> float | None:
    """At the best evaluation if that was kept, else at the last one."""
    for name in (f"best/{BITS}", BITS):
        value = row.summary.get(name)
        if isinstance(value, int | float):
            return float(value)
    return None


def artifact_of(row: TrialRow, project: str) -> str:
    """The trial's uploaded model: as its completion record says, else where it is put by default."""
    with contextlib.suppress(CheckpointError):
        record = read_record(checkpoint_root(row), row.run_id)
        if record is not None and record.artifact is not None:
            return record.artifact
    return f"{project}/model-{row.run_id}:best"


def failure_lines(rows: Sequence[TrialRow], logs: Path) -> list[str]:
    """That trials failed, and where the reason stands; [] if none did."""
    failed = sum(row.outcome in FAILED for row in rows)
    if not failed:
        return []
    return [
        f"warning: {several(failed, 'trial')} of {len(rows)} failed. Why: grep -A3 error: {logs}/* "
        f"(on the machine where its agent ran)"
    ]


def next_steps(sweep: str, uses: Sequence[Sequence[str]], root: Path | None, trials: Path) -> list[str]:
    """Commands that continue from here. `uses`: of the best model, each what follows `python`. `root` is the
    embedded server's folder, None with another W&B; `trials` the folder of trials and records."""
    lines = ["what to type next:", "  " + shlex.join(manage_command(trials, "list"))]
    lines += ["  " + shlex.join(["python", *use]) for use in uses]
    where = f" --root {root}" if root is not None and root != Path("wandb_server") else ""
    lines.append(f"  python -m transformer_e2e.scripts.plot {sweep}{where}   # draw its pictures again")
    lines += [continue_line(sweep, root), *bare_wandb(sweep, root)]
    return lines


def continue_line(sweep: str, root: Path | None) -> str:
    """The command that goes on with the sweep, or shows it again when nothing is left to do."""
    where = f" --root {root}" if root is not None and root != Path("wandb_server") else ""
    return f"  python -m transformer_e2e.scripts.sweep --sweep {sweep}{where}   # go on, or see this again"


def join_line(sweep: str, url: str | None, root: Path) -> str:
    """How others can work on a running sweep. `url`: of the embedded server; None with another W&B."""
    agent = f"wandb agent --forward-signals {sweep}"
    if url is None:
        return f"more machines can join (same repository, same W&B): {agent}"
    return (
        f"more terminals of this machine can join, here: "
        f"WANDB_BASE_URL={url} WANDB_API_KEY=$(cat {root / 'api_key'}) {agent}"
    )


def bare_wandb(sweep: str, root: Path | None) -> list[str]:
    """How to use W&B's own commands on this sweep."""
    if root is None:
        return [f"  wandb agent --forward-signals {sweep}"]
    return [
        "W&B's own commands need the server in one terminal and its two exports in another:",
        f"  python -m transformer_e2e.server --root {root} --port 8080",
        f"  export WANDB_BASE_URL=http://127.0.0.1:8080 WANDB_API_KEY=$(cat {root / 'api_key'})",
        f"  wandb agent --forward-signals {sweep}",
    ]


def _fact(row: TrialRow, name: str) -> str:
    value = row.summary.get(DATA_PREFIX + name, "")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bits_text(row: TrialRow) -> str:
    bits = bits_per_byte(row)
    return "" if bits is None else f"{bits:.3f}"


def checkpoint_root(row: TrialRow) -> Path:
    """The folder of trials that this one was told to work in, on whichever machine that was."""
    return Path(str(row.settings.get("checkpoint_dir") or "model_checkpoints"))
