"""The real `wandb sweep` command: create a sweep, change its state, and read what it printed."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from transformer_e2e.errors import LaunchError

WANDB = (sys.executable, "-m", "wandb")
SECONDS = 120.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_URL = re.compile(r"View sweep at: *(\S+/([^/\s]+)/([^/\s]+)/sweeps/([^/\s?]+))")
_AGENT = re.compile(r"wandb agent '?([^'\s]+)'?")


@dataclass(frozen=True)
class SweepPath:
    """`entity/project/id`, W&B's full name of a sweep."""

    entity: str
    project: str
    id: str
    url: str | None = None

    def __str__(self) -> str:
        return f"{self.entity}/{self.project}/{self.id}"

    @classmethod
    def parse(cls, text: str, *, entity: str | None, project: str | None) -> SweepPath:
        """`text` is `id`, `project/id` or `entity/project/id`. Raises LaunchError for anything else."""
        parts = text.strip("/").split("/")
        if len(parts) > 3 or not all(parts):
            raise LaunchError(f"--sweep {text} is no sweep; write ENTITY/PROJECT/ID, as `wandb agent` does")
        missing = [entity, project][: 3 - len(parts)]
        if None in missing:
            raise LaunchError(
                f"--sweep {text} lacks its entity; write ENTITY/PROJECT/ID, as `wandb agent` does"
            )
        return cls(*[str(part) for part in (*missing, *parts)])


def create_sweep(
    spec: Mapping[str, Any], environment: Mapping[str, str], *, project: str | None, entity: str | None
) -> SweepPath:
    """Run `wandb sweep` on `spec`, whose numbers are numbers: the command itself refuses `min: 1e-5`
    without a distribution, because YAML reads a text there.

    Raises LaunchError with the command's own words when it fails.
    """
    options = [*(("--project", project) if project else ()), *(("--entity", entity) if entity else ())]
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        path = Path(folder) / "sweep.yaml"
        path.write_text(yaml.safe_dump(dict(spec), sort_keys=False), encoding="utf-8")
        return parse_created(_wandb(["sweep", *options, str(path)], environment))


def set_state(path: SweepPath, state: str, environment: Mapping[str, str]) -> None:
    """`state` is one of pause, resume, stop, cancel. Raises LaunchError when W&B refuses."""
    _wandb(["sweep", f"--{state}", str(path)], environment)


def parse_created(output: str) -> SweepPath:
    """The sweep that `wandb sweep` says it made. The URL always holds the entity, the last line may not."""
    plain = _COLOUR.sub("", output)
    if url := _URL.search(plain):
        return SweepPath(url[2], url[3], url[4], url[1])
    agent = _AGENT.search(plain)
    if agent and agent[1].count("/") == 2:
        return SweepPath(*agent[1].split("/"))
    raise LaunchError(f"`wandb sweep` made no sweep that could be found in its output:\n{_indent(plain)}")


def _wandb(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    shown = " ".join(["wandb", *arguments])
    try:
        done = subprocess.run(
            [*WANDB, *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            start_new_session=True,  # Ctrl-C is for us: a sweep is made or not, never half
        )
    except subprocess.TimeoutExpired:
        server = environment.get("WANDB_BASE_URL", "W&B")
        raise LaunchError(f"`{shown}` had no answer within {SECONDS:.0f} s; is {server} up?") from None
    # W&B reports several of its errors with exit code 0.
    if done.returncode != 0 or re.search(r"^wandb: ERROR", _COLOUR.sub("", done.stdout), re.M):
        raise LaunchError(f"`{shown}` failed (exit code {done.returncode}):\n{_indent(done.stdout)}")
    return done.stdout


def _indent(text: str) -> str:
    lines = [line for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-15:])
