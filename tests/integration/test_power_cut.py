"""The power goes before any side effect of a trial: what is left is sound, and the same command repairs it.

The system calls of a real trial are recorded, and what a disk may hold after each of them is computed.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests import strace_log
from tests.marked import MARKS
from tests.power_cut import CUTS, Disk, Tree, read_tree, write_tree
from tests.serving import REPOSITORY, ServerProcess
from tests.toy_trial import Toy
from tests.training import Workplace
from transformer_e2e.runs import completion
from transformer_e2e.runs.attempts import read_attempts
from transformer_e2e.runs.checkpoints import CheckpointStore
from transformer_e2e.runs.completion import Status
from transformer_e2e.runs.config_file import CONFIG_NAME, wandb_run_id
from transformer_e2e.runs.identity import COMPLETION_DIR
from transformer_e2e.runs.journal import Journal

pytestmark = pytest.mark.skipif(strace_log.why_not() is not None, reason=str(strace_log.why_not()))

SETTINGS = {"max_steps": 12, "eval_interval": 4, "checkpoint_interval": 3, "project": "cut"}
MEMORY = next((path for path in ("/dev/shm",) if os.access(path, os.W_OK)), None)  # fsync costs nothing there
STATUSES = [None, *Status]  # in the order in which a record takes them


@dataclass(frozen=True)
class Promised:
    """What the trial had said was done when the power went."""

    wandb_id: str | None = None
    saved: int | None = None  # step of the last checkpoint whose save had returned
    record: Status | None = None

    def after(self, call: strace_log.Call) -> Promised:
        kind, _, value = call.arguments[1].path.removeprefix(MARKS).partition("/")
        if kind == "opened":
            return replace(self, wandb_id=value)
        if kind == "saved":
            return replace(self, saved=int(value))
        return replace(self, record=Status(value)) if kind == "record" else self


@dataclass(frozen=True)
class Recording:
    """One trial from its first to its last system call."""

    before: Path  # a copy of its folder as it was
    folder: Path  # as it is now
    log: Path

    def points(self) -> Iterator[tuple[Disk, Promised, strace_log.Call]]:
        """The disk and the promises after each call that changed something."""
        disk, promised = Disk(self.before, seen_at=self.folder), Promised()
        for call in strace_log.calls(self.log, str(self.folder), MARKS):
            if call.name == "openat" and call.arguments[1].path.startswith(MARKS):
                promised = promised.after(call)
            elif disk.apply(call):
                yield disk, promised, call


def record(command: list[str], folder: Path, env: dict[str, str], *, cut_at: int = 0) -> Recording:
    """Run a trial, `python -m MODULE ...`, with its files in `folder`; killed before change `cut_at`."""
    python, dash_m, *trial = command
    recording = Recording(folder.with_name("before"), folder, folder.with_name("calls.log"))
    shutil.copytree(folder, recording.before)
    done = subprocess.run(
        strace_log.traced([python, dash_m, "tests.marked", *trial], recording.log),
        cwd=REPOSITORY,
        env={**env, "POWER_CUT_AT": str(cut_at), "POWER_CUT_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == (-signal.SIGKILL if cut_at else 0), done.stdout + done.stderr
    return recording


def unsound(trials: Path, promised: Promised, rows: list[bytes]) -> list[str]:
    """What is wrong with the trial below `trials`, seen as its next start sees it and repairs it.

    `rows`: the lines of its whole journal.
    """
    directory = next((path for path in trials.glob("*") if path.name != COMPLETION_DIR), trials / "none")
    record = completion.read(trials, directory.name)  # absent or whole, else this raises
    found = []
    if STATUSES.index(record.status if record else None) < STATUSES.index(promised.record):
        found.append(f"the record {promised.record!r} is lost")
    copied = record is not None and record.artifact is not None
    if not directory.exists():
        made = promised.wandb_id or promised.saved
        return [*found, "the trial's directory is lost"] if made and not copied else found
    if promised.wandb_id and wandb_run_id(directory, renew=False) != promised.wandb_id:
        found.append("its W&B run is forgotten")
    config = directory / CONFIG_NAME  # absent or whole, and there before anything is trained
    if config.exists() or promised.wandb_id:
        json.loads(config.read_bytes())
    read_attempts(directory)
    store = CheckpointStore(directory, keep=2, say=lambda _: None)
    counted = len(rows)
    if copied:
        store.remove_all()
        found += [f"{path} is left" for path in directory.glob("*step-*")]
    else:
        checkpoint = store.restore(lambda _: None)
        if (checkpoint.step if checkpoint else 0) < (promised.saved or 0):
            found.append(f"checkpoint {promised.saved} is lost")
        if record is None:
            counted = checkpoint.manifest.rows if checkpoint else 0
    journal = Journal(directory)
    journal.close()
    if journal.path.read_bytes().splitlines(keepends=True)[:counted] != rows[:counted]:
        found.append(f"of the {counted} rows that count, {journal.count} are there")
    return found


def examine(recording: Recording) -> int:
    """Fail with everything that is unsound after any call on any disk; the number of states looked at."""
    rows = next(recording.folder.glob("trials/*/metrics.jsonl")).read_bytes().splitlines(keepends=True)
    draw, found = random.Random(0), []
    seen: set[object] = set()
    for number, (disk, promised, call) in enumerate(recording.points(), 1):
        for name, cut in CUTS.items():
            tree = below(disk.after(cut, draw), "trials")
            state = (promised, frozenset(tree.items()))
            if state not in seen:
                seen.add(state)
                found += [
                    f"{number}, after {call.name}, {name}: {problem}"
                    for problem in problems(tree, promised, rows)
                ]
    assert disk.after(CUTS["no power cut, but a kill"], draw) == read_tree(recording.folder)  # all was seen
    assert not found, f"{len(found)} of {len(seen)} states:\n" + "\n".join(found[:20])
    return len(seen)


def problems(tree: Tree, promised: Promised, rows: list[bytes]) -> list[str]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        write_tree(tree, Path(folder) / "trials")
        try:
            return unsound(Path(folder) / "trials", promised, rows)
        except Exception as error:  # what a start would die of
            return [repr(error)]


def below(tree: Tree, name: str) -> Tree:
    return {path.removeprefix(f"{name}/"): item for path, item in tree.items() if path.startswith(f"{name}/")}


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("diverges", [False, True])
def test_whatever_a_power_cut_leaves_is_sound(
    tmp_path: Path, wandb_server: ServerProcess, diverges: bool
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    toy = Toy(root=str(folder / "trials"), payload=3000, eval_interval=2, diverges=diverges)
    command = [sys.executable, "-m", "tests.toy_trial", json.dumps(vars(toy))]
    assert examine(record(command, folder, wandb_server.env)) > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_same_command_repairs_what_a_power_cut_left_of_a_training(
    tmp_path: Path, wandb_server: ServerProcess
) -> None:
    whole = place(tmp_path / "whole")
    recording = record(whole.command("trials", **SETTINGS), whole.folder, wandb_server.env)
    assert examine(recording) > 1000
    for number, cut in zip(fatal_changes(recording), itertools.cycle(CUTS.values()), strict=False):
        workplace, settings = place(tmp_path / f"cut{number}"), SETTINGS | {"project": f"cut{number}"}
        command = workplace.command("trials", **settings)
        stopped = record(command, workplace.folder, wandb_server.env, cut_at=number)
        *_, (disk, _, _) = stopped.points()
        shutil.rmtree(workplace.folder)
        write_tree(disk.after(cut, random.Random(number)), workplace.folder)
        workplace.finish(wandb_server.env, "trials", **settings)
        result, expected = workplace.record("trials"), whole.record("trials")
        assert result["status"] == "cleaned", number
        assert result["digests"]["model.safetensors"] == expected["digests"]["model.safetensors"], number
        assert workplace.rows("trials") == whole.rows("trials"), number


def place(folder: Path) -> Workplace:
    (folder / "disk").mkdir(parents=True)
    return Workplace(folder / "disk").prepare()


def fatal_changes(recording: Recording) -> list[int]:
    """Numbers of changes, see `marked`: around saves, before and after each record, and in the deletion."""
    last, done = 0, {}
    for call in strace_log.calls(recording.log, MARKS):
        kind, value = call.arguments[1].path.removeprefix(MARKS).split("/")
        last = int(value) if kind == "change" else last
        done.setdefault(f"{kind} {value}", last)
    saved = [done[name] for name in done if name.startswith("saved")]
    trained, uploaded, cleaned = (done[f"record {status}"] for status in Status)
    around_saves = [saved[0] - 12, saved[0] - 2, saved[1] + 2, saved[-1] - 3]
    return [*around_saves, trained, trained + 1, uploaded - 1, uploaded + 1, uploaded + 4, cleaned]
