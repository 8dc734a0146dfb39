"""The status of a trial as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transformer_e2e.config.wording import several
from transformer_e2e.runs.durable import in_words
from transformer_e2e.runs.overview import AttemptView, TrialStatus
from transformer_e2e.runs.times import clock, local_time
from transformer_e2e.runs.tracker_queries import BEST_PREFIX, CHECKPOINT_DIGEST, CHECKPOINT_STEP, RunView

_WIDEST = 110
_DIGITS = 12  # of a digest; --json has all
_JOINED = "\0"  # a blank at which no line is broken
_COUNTS = 1e9  # from there on a whole number stands for something else, or is of no use in full
_EMBEDDED = "http://127.0.0.1:"
_NOT_FOR_PEOPLE = ("perf/", "yardstick/", "train/global_step")

Lines = list[tuple[str, list[str]]]


def status_lines(status: TrialStatus, *, width: int) -> list[str]:
    """`width` [characters] is what settings and metrics are wrapped at."""
    lines: Lines = [("trial", [status.run_id]), ("state", [_state(status)])]
    lines.append(("directory", _wrapped([str(status.directory), in_words(status.bytes)], width)))
    if (record := status.record) is not None:
        best = "none" if record.best_metric is None else f"{record.best_metric:.6g}"
        lines += [
            (f"best {record.metric_name}", [best]),
            ("artifact", [record.artifact or "none"]),
            ("weights", [f"{record.status}, {in_words(record.freed_bytes)} freed"]),
        ]
        if record.schema:
            lines.append(("model", _model(record.schema, width)))
    lines.append(("W&B run", [_wandb_run(status)]))
    if (newest := status.newest) is not None:
        about = [f"step {newest.step}", in_words(newest.bytes), f"made {clock(newest.seconds_old)} ago"]
        own = newest.best_step == newest.step
        about.append("the best" if own else f"the best is of step {newest.best_step}")
        about.append(f"SHA-256 {newest.digest[:_DIGITS]}...")
        lines.append(("checkpoint", [*_wrapped(about, width), *_numbers(newest.metrics, width)]))
    else:
        lines.append(("checkpoint", ["none on this disk"]))
    if status.metrics and (newest is None or newest.metrics != status.metrics):
        lines.append(("last metrics", _numbers(status.metrics, width)))
    lines += _settings(status.settings, status.changed, width)
    if status.attempts:
        lines.append(("attempts", [_attempt(item, status) for item in status.attempts]))
    return _laid_out([*lines, ("next start", [f"would {status.next_start}"])], width)


def _wandb_run(status: TrialStatus) -> str:
    """Its address; its path where that is of an embedded server, which has another port each time."""
    path = (status.wandb_run or "").lstrip("/")
    url = status.record.url if status.record else None
    if url and url.startswith(_EMBEDDED):
        return f"{path}, on the embedded server (to ask it: python -m transformer_e2e.server)"
    if url or status.record is None:
        return url or path or "none yet"
    return f"{path}, logged offline" if path else "none: it was trained with W&B switched off"


def remote_lines(run: RunView, *, others: int, where: str, width: int) -> list[str]:
    """A trial that only W&B knows; `others`: how many older runs of it there are."""
    best = {name: value for name, value in run.summary.items() if name.startswith(BEST_PREFIX)}
    step = run.summary.get(CHECKPOINT_STEP)
    checkpoint = "none that W&B heard of"
    if step is not None:
        checkpoint = f"step {step}, SHA-256 {run.summary.get(CHECKPOINT_DIGEST)}, on the disk it trains on"
    config = {name: value for name, value in run.config.items() if name != "run_id"}
    lines: Lines = [
        ("trial", [str(run.config.get("run_id", run.display_name))]),
        ("state", [f"{run.state} on W&B; not on this disk"]),
        ("W&B run", [f"{where}/{run.name}" + (f", and {others} older runs" if others else "")]),
        ("begun", [local_time(run.created_at)]),
        ("last heard of", [local_time(run.heartbeat_at or "") or "never"]),
        ("checkpoint", [checkpoint]),
        ("best", _numbers(best, width) or ["none"]),
        ("settings", _wrapped((f"{k} {v}" for k, v in sorted(config.items())), width)),
        ("next start", ["would train from step 0 on this machine"]),
    ]
    return _laid_out(lines, width)


def _model(schema: Mapping[str, Any], width: int) -> list[str]:
    """What a Hugging Face model makes of what."""
    fields = " + ".join(map(str, schema.get("text_fields") or ()))
    about = [f"{schema.get('task')} of {fields or 'text'}"]
    if schema.get("label_field"):
        labels = ", ".join(map(str, schema.get("labels") or ())) or "a number"
        about.append(f"{schema['label_field']}: {labels}")
    return _wrapped(about, width)


def _state(status: TrialStatus) -> str:
    if status.damage:
        return f"unknown: {status.damage}"
    if (record := status.record) is not None:
        ended = local_time(record.created_at)
        return (
            f"{record.outcome} after {several(record.steps, 'step')} in {clock(record.seconds)}, on {ended}"
        )
    progress = status.progress
    step = f"step {progress.step}"
    if progress.max_steps:
        step += f" of {progress.max_steps} ({100 * progress.step // progress.max_steps} %)"
    if not status.live:
        return f"not over, and nobody works on it; {step}"
    left = progress.seconds_left
    if left is None:
        return f"in training now; {step}"
    return f"in training now; {step}, {progress.steps_per_second:.3g} steps/s, about {clock(left)} left"


def _settings(settings: Mapping[str, Any], changed: Sequence[str], width: int) -> Lines:
    if not settings:
        return [("settings", ["unknown: config.json is missing or damaged"])]
    first = _wrapped((f"{name} {settings[name]}" for name in changed), width)
    rest = _wrapped((f"{name} {value}" for name, value in settings.items() if name not in changed), width)
    lines: Lines = [("settings changed", first or ["none: all are the defaults"])]
    return lines + ([("as by default", rest)] if rest else [])


def _attempt(item: AttemptView, status: TrialStatus) -> str:
    if item.ended is not None:
        how = f"{item.ended}, exit code {item.exit_code}"
        how += f", after {clock(item.seconds or 0)}" + (
            "" if item.steps is None else f" at step {item.steps}"
        )
    elif status.live and item is status.attempts[-1]:
        how = "works on it now"
    else:
        how = "killed"
    return f"{item.number}  {local_time(item.began)}  {item.place}  {item.device}  {how}"


def _numbers(metrics: Mapping[str, float], width: int) -> list[str]:
    shown = {name: value for name, value in metrics.items() if not name.startswith(_NOT_FOR_PEOPLE)}
    return _wrapped((f"{name} {_number(value)}" for name, value in sorted(shown.items())), width)


def _number(value: float) -> str:
    """Counts, such as tokens and steps, in full."""
    return f"{value:.0f}" if abs(value) < _COUNTS and float(value).is_integer() else f"{value:.5g}"


def _wrapped(items: Iterable[str], width: int) -> list[str]:
    """`a 1, b 2`, broken only between items."""
    text = ", ".join(item.replace(" ", _JOINED) for item in items)
    return _broken(text, width)


def _broken(text: str, width: int) -> list[str]:
    """`text` in lines that fit beside the names, broken at blanks: a path or an address stays whole."""
    room = max(20, min(width, _WIDEST) - 18)
    return textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=False)


def _laid_out(lines: Lines, width: int) -> list[str]:
    names = max(len(name) for name, _ in lines)
    return [
        f"{name if i == 0 else '':<{names}}  {text}".replace(_JOINED, " ")
        for name, texts in lines
        for i, text in enumerate(part for whole in texts for part in _broken(whole, width))
    ]
