"""A folder of trials never holds more than its budget, and making room never loses what is needed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.test_runs_checkpoints import killed_at
from tests.unit.test_runs_completion import record
from transformer_e2e.runs import completion
from transformer_e2e.runs.budget import BudgetSpent, DiskBudget, last_limit, used
from transformer_e2e.runs.checkpoints import CheckpointStore, list_checkpoints
from transformer_e2e.runs.completion import Ending, Status
from transformer_e2e.runs.durable import tree_size
from transformer_e2e.runs.lock import TrialLock

WEIGHTS = 100_000  # bytes of a checkpoint, without its manifest


def quiet(_: str) -> None:
    return None


def fill(place: Path) -> None:
    (place / "weights").write_bytes(os.urandom(WEIGHTS))


def trial(root: Path, name: str, *steps: int, best: int | None = None) -> CheckpointStore:
    """A trial nobody holds, with checkpoints of these steps."""
    directory = root / name
    TrialLock(directory, no_wait=True, say=quiet).release()
    store = CheckpointStore(directory, keep=99, say=quiet)
    for step in steps:
        store.save(fill, step=step, rows=step, best=step == best, metric=None)
    return store


def over(root: Path, name: str, status: Status, outcome: Ending, *, kept: bool = False) -> None:
    given = replace(record(name, status), outcome=outcome, kept_local=kept)
    completion.write(root, replace(given, artifact="local/toys/m:v0" if status is Status.UPLOADED else None))


def steps_of(root: Path, name: str) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in list_checkpoints(root / name))


def test_what_a_folder_holds_counts_once_whatever_links_to_it(tmp_path: Path) -> None:
    directory = trial(tmp_path, "a", 1, best=1).directory
    assert sorted(path.name for path in directory.iterdir() if path.is_symlink()) == ["best", "latest"]
    files = sum(path.stat().st_size for path in (directory / "step-00000001").iterdir())
    others = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
    assert used(tmp_path) == files + others


def crowd(root: Path) -> None:
    """One trial of every kind; `own` is the one that needs room."""
    trial(root, "own", 1, 2, 3, 4, best=2)
    trial(root, "halfway", 1, 2, 3, best=1)
    trial(root, "trained", 1, 2, 3, best=2)
    over(root, "trained", Status.TRAINED, Ending.FINISHED)
    for name, status, outcome, kept in (
        ("copied", Status.UPLOADED, Ending.FINISHED, False),
        ("kept", Status.UPLOADED, Ending.FINISHED, True),
        ("diverged", Status.TRAINED, Ending.DIVERGED, False),
        ("pruned-kept", Status.TRAINED, Ending.PRUNED, True),
    ):
        trial(root, name, 1)
        over(root, name, status, outcome, kept=kept)
    fill_leftovers(root / "killed")


def fill_leftovers(directory: Path) -> None:
    trial(directory.parent, directory.name, 7)
    for name in (".staging-abc", "unusable-step-00000009", ".replaced-step-00000007"):
        (directory / name).mkdir()
        (directory / name / "weights").write_bytes(bytes(WEIGHTS))


@contextmanager
def holding(directory: Path) -> Iterator[None]:
    lock = TrialLock(directory, no_wait=True, say=quiet)
    try:
        yield
    finally:
        lock.release()


def need(root: Path, size: int, *, best: bool = False, say: Callable[[str], None] = quiet) -> None:
    """Let `own` ask for `size` bytes more than there is room for."""
    limit = used(root) + 50_000
    with holding(root / "own"), DiskBudget(root, "own", limit=limit, say=say).room(50_000 + size, best):
        assert used(root, writer="own") + 50_000 + size <= limit


def test_what_is_spare_goes_in_the_order_that_is_promised(tmp_path: Path) -> None:
    crowd(tmp_path)
    said: list[str] = []
    with pytest.raises(BudgetSpent):
        while True:
            need(tmp_path, 1000, say=said.append)
    assert [line.partition("kB of ")[2] for line in said] == [
        "leftovers (killed)",
        "weights whose uploaded copy is proven (copied)",
        "older checkpoints (this trial)",
        "older checkpoints (trained)",
        "older checkpoints (halfway)",
        "weights of a trial that diverged or was pruned (diverged)",
        "weights kept by --keep_local, whose uploaded copy is proven (kept)",
    ]
    left = {path.name: steps_of(tmp_path, path.name) for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {
        "own": [2, 4],
        "halfway": [1, 3],
        "trained": [2],
        "killed": [7],
        "pruned-kept": [1],
        "copied": [],
        "kept": [],
        "diverged": [],
        "completion_tracking": [],
    }
    for name in ("copied", "diverged", "kept"):
        cleaned = completion.read(tmp_path, name)
        assert cleaned is not None and cleaned.status == "cleaned" and cleaned.freed_bytes > WEIGHTS


def test_the_best_one_may_go_when_a_better_one_is_about_to_come(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1, 2, best=1)
    with pytest.raises(BudgetSpent):
        need(tmp_path, 1000)
    need(tmp_path, 1000, best=True)
    assert steps_of(tmp_path, "own") == [2]
    with pytest.raises(BudgetSpent):
        need(tmp_path, 1000, best=True)
    assert steps_of(tmp_path, "own") == [2]


def test_what_cannot_help_enough_is_not_deleted(tmp_path: Path) -> None:
    crowd(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BudgetSpent) as error:
        need(tmp_path, 50 * WEIGHTS)
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != ".budget"] == before
    text = "\n".join(" ".join(line.split()) for line in str(error.value).splitlines())
    assert "the next checkpoint takes 5.0 MB" in text and "kB own this trial" in text
    assert "halfway not finished: what its next start continues from" in text
    assert "trained trained, its copy is not proven: the same command uploads it" in text
    assert f"--checkpoint_dir {tmp_path} clear RUN_ID" in text
    assert str(error.value).count("\n  ") == 5


def test_a_trial_that_somebody_works_on_is_left_alone(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1)
    trial(tmp_path, "copied", 1)
    over(tmp_path, "copied", Status.UPLOADED, Ending.FINISHED)
    with holding(tmp_path / "copied"), pytest.raises(BudgetSpent, match=r"copied .* in training now"):
        need(tmp_path, 1000)
    need(tmp_path, 1000)
    assert steps_of(tmp_path, "copied") == []


def test_older_ones_stay_while_the_newest_is_damaged(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1)
    store = trial(tmp_path, "other", 1, 2)
    (tmp_path / "other" / "step-00000002" / "weights").write_bytes(b"rotten")
    with pytest.raises(BudgetSpent):
        need(tmp_path, 1000)
    assert steps_of(tmp_path, "other") == [1, 2]
    restored = store.restore(lambda _: None)
    assert restored is not None and restored.step == 1


def test_a_damaged_record_protects_its_weights(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1)
    trial(tmp_path, "other", 1, 2)
    over(tmp_path, "other", Status.UPLOADED, Ending.FINISHED)
    completion.record_path(tmp_path, "other").write_text("{")
    with pytest.raises(BudgetSpent):
        need(tmp_path, 1000)
    assert steps_of(tmp_path, "other") == [1, 2]


def test_a_save_that_is_refused_leaves_the_older_ones(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1)
    with holding(tmp_path / "own"):
        budget = DiskBudget(tmp_path, "own", limit=used(tmp_path) + WEIGHTS // 2, say=quiet)
        store = CheckpointStore(tmp_path / "own", keep=2, say=quiet, room=budget.room)
        with pytest.raises(BudgetSpent, match="clear RUN_ID"):
            store.save(fill, step=2, rows=2, best=False, metric=None)
        assert steps_of(tmp_path, "own") == [1] and not list((tmp_path / "own").glob(".staging-*"))
    assert last_limit(tmp_path) == used(tmp_path) + WEIGHTS // 2 - tree_size(tmp_path / ".budget")


def test_a_first_checkpoint_of_unknown_size_is_refused_before_it_is_published(tmp_path: Path) -> None:
    trial(tmp_path, "own")
    with holding(tmp_path / "own"):
        room = DiskBudget(tmp_path, "own", limit=WEIGHTS // 2, say=quiet).room
        with pytest.raises(BudgetSpent):
            CheckpointStore(tmp_path / "own", keep=2, say=quiet, room=room).save(
                fill, step=1, rows=1, best=True, metric=None
            )
    assert [path.name for path in (tmp_path / "own").iterdir()] == [".lock"]


def test_a_first_checkpoint_is_taken_to_be_as_large_as_the_largest_in_the_folder(tmp_path: Path) -> None:
    for name in ("own", "copied"):
        trial(tmp_path, name, 1)
    over(tmp_path, "copied", Status.UPLOADED, Ending.FINISHED)
    limit = used(tmp_path) + WEIGHTS // 2
    with holding(tmp_path / "own"), DiskBudget(tmp_path, "own", limit=10**9, say=quiet).room(WEIGHTS, False):
        pass
    trial(tmp_path, "second")
    with holding(tmp_path / "second"), DiskBudget(tmp_path, "second", limit=limit, say=quiet).room(0, True):
        assert steps_of(tmp_path, "copied") == []  # before a byte of it is written


def test_what_a_living_process_is_about_to_write_counts_and_a_dead_ones_does_not(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1)
    trial(tmp_path, "writer", 1)
    holds = used(tmp_path)
    child = os.fork()
    if child == 0:
        TrialLock(tmp_path / "writer", no_wait=True, say=quiet)
        with DiskBudget(tmp_path, "writer", limit=10**9, say=quiet).room(5 * WEIGHTS, False):
            time.sleep(60)
    try:
        deadline = time.monotonic() + 30
        while used(tmp_path) < holds + 5 * WEIGHTS:
            assert time.monotonic() < deadline
        with pytest.raises(BudgetSpent), holding(tmp_path / "own"):
            room = DiskBudget(tmp_path, "own", limit=holds + 5 * WEIGHTS, say=quiet).room
            room(WEIGHTS, False).__enter__()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert used(tmp_path) < holds + WEIGHTS


def test_one_process_at_a_time_makes_room(tmp_path: Path) -> None:
    trial(tmp_path, "own", 1)
    with open(tmp_path / ".budget", "w") as note:
        fcntl.flock(note, fcntl.LOCK_EX)  # as somebody who is making room
        child = os.fork()
        if child == 0:
            make(tmp_path, 10**9)
            os._exit(0)
        time.sleep(0.5)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        fcntl.flock(note, fcntl.LOCK_UN)  # closing would not do: the child has a copy of the descriptor
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def save_many(root: Path, name: str, limit: int) -> int:
    """In a child process: thirty checkpoints; its exit code is 0 if one at least was refused, or none."""
    child = os.fork()
    if child:
        return child
    TrialLock(root / name, no_wait=True, say=quiet)
    store = CheckpointStore(
        root / name, keep=2, say=quiet, room=DiskBudget(root, name, limit=limit, say=quiet).room
    )
    saved = 0
    for step in range(2, 32):
        try:
            store.save(fill, step=step, rows=step, best=step % 5 == 0, metric=None)
            saved += 1
        except BudgetSpent:
            continue
    os._exit(0 if saved else 3)


def test_two_processes_that_make_room_at_once_never_exceed_the_budget(tmp_path: Path) -> None:
    for name in ("first", "second"):
        trial(tmp_path, name, 1)
    for number in range(4):
        trial(tmp_path, f"copied{number}", 1)
        over(tmp_path, f"copied{number}", Status.UPLOADED, Ending.FINISHED)
    limit = used(tmp_path) + 5000
    children = [save_many(tmp_path, name, limit) for name in ("first", "second")]
    most, codes = 0, []
    while children:
        # In the making first: what is published between the two looks is counted once at least.
        # A look takes time: what is renamed meanwhile may be counted twice, but not in two looks running.
        most = max(most, min(tree_size(tmp_path), tree_size(tmp_path)))
        for child in list(children):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                children.remove(child)
                codes.append(os.waitstatus_to_exitcode(status))
    assert codes == [0, 0]
    assert most <= limit
    for name in ("first", "second"):
        assert CheckpointStore(tmp_path / name, keep=2, say=quiet).restore(lambda _: None) is not None
    assert not [number for number in range(4) if steps_of(tmp_path, f"copied{number}")]


def test_making_room_may_be_killed_anywhere(tmp_path: Path) -> None:
    crowd(tmp_path / "crowd")
    for event in range(1, 400):
        root = tmp_path / f"{event}"
        shutil.copytree(tmp_path / "crowd", root, symlinks=True)
        limit = used(root) - 6 * WEIGHTS
        killed = killed_at(event, lambda root=root, limit=limit: make(root, limit))
        for name in ("own", "halfway", "trained", "killed"):
            with holding(root / name):
                store = CheckpointStore(root / name, keep=2, say=quiet)
            assert store.restore(lambda _: None) is not None, (event, name)
        best = CheckpointStore(root / "trained", keep=2, say=quiet).best()
        assert best is not None and best.step == 2
        assert len(completion.records(root)) == 5
        make(root, limit)
        assert used(root) <= limit
        if not killed:
            assert event > 20
            return
    pytest.fail("it never got through")


def make(root: Path, limit: int) -> None:
    with holding(root / "own"), DiskBudget(root, "own", limit=limit, say=quiet).room(0, False):
        return
