"""One attempt at a time, real processes: the lock outlives nobody, and a ledger line nobody's half."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from transformer_e2e.runs import lock
from transformer_e2e.runs.attempts import Attempt, read_attempts, total_seconds
from transformer_e2e.runs.background import Overdue, in_background, is_stuck
from transformer_e2e.runs.lock import TrialHeld, TrialLock
from transformer_e2e.runs.stop import Reason, StopNow, StopRequest
from transformer_e2e.runs.tracker_queries import Intent, judge_stop


def quiet(_: str) -> None:
    pass


def in_child(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(work())
    return child


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_held_trial_is_refused_by_name_and_free_again_after_kill_9(tmp_path: Path) -> None:
    directory = tmp_path / "toy-1"

    def hold() -> int:
        TrialLock(directory, no_wait=True, say=quiet)
        (tmp_path / "ready").touch()
        time.sleep(60)
        return 0

    child = in_child(hold)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    with pytest.raises(TrialHeld, match=f"toy-1 is held by process {child} on "):
        TrialLock(directory, no_wait=True, say=quiet)
    os.kill(child, signal.SIGKILL)
    code_of(child)
    TrialLock(directory, no_wait=True, say=quiet).release()


def test_a_waiter_never_locks_a_directory_that_was_removed_under_it(tmp_path: Path) -> None:
    directory = tmp_path / "toy-1"
    first = TrialLock(directory, no_wait=True, say=quiet)
    assert first.made_directory

    def wait() -> int:
        held = TrialLock(directory, no_wait=False, say=(tmp_path / "waits").write_text)
        return 0 if (directory / ".lock").exists() and not held.made_directory else 1

    child = in_child(wait)
    while not (tmp_path / "waits").exists():
        time.sleep(0.01)
    first.remove_directory()
    first.release()
    assert code_of(child) == 0


def test_what_another_attempt_left_a_moment_ago_is_not_ours_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "toy-1"

    def after_a_whole_life(path: Path) -> None:
        path.mkdir()
        (path / "metrics.jsonl").write_text("{}")

    monkeypatch.setattr(lock, "make_directory", after_a_whole_life)
    assert not TrialLock(directory, no_wait=True, say=quiet).made_directory


def test_somebody_who_only_looks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "toy-1"
    TrialLock(directory, no_wait=True, say=quiet).release()
    glance = os.open(directory / ".lock", os.O_RDONLY)
    fcntl.flock(glance, fcntl.LOCK_SH)  # as `is_held` does
    monkeypatch.setattr(lock.time, "sleep", lambda _: os.close(glance))
    TrialLock(directory, no_wait=True, say=pytest.fail).release()


def test_eight_processes_never_hold_one_trial_together(tmp_path: Path) -> None:
    def work() -> int:
        for _ in range(5):
            held = TrialLock(tmp_path / "toy", no_wait=False, say=quiet)
            try:
                inside = os.open(tmp_path / "inside", os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                return 1
            os.close(inside)
            os.unlink(tmp_path / "inside")
            held.release()
        return 0

    children = [in_child(work) for _ in range(8)]
    assert [code_of(child) for child in children] == [0] * 8


def test_attempts_are_counted_and_a_killed_one_has_no_end(tmp_path: Path) -> None:
    Attempt(tmp_path, device="cpu")
    with open(tmp_path / "attempts.jsonl", "a") as file:
        file.write('{"attempt": 1, "event": "en')  # torn by a kill
    second = Attempt(tmp_path, device="cpu")
    assert second.number == 2
    second.end("finished", exit_code=0, steps=8)
    events = [(line["attempt"], line["event"]) for line in read_attempts(tmp_path)]
    assert events == [(1, "start"), (2, "start"), (2, "end")]
    assert total_seconds(tmp_path) == read_attempts(tmp_path)[-1]["seconds"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGTERM, Reason.TERMINATED),
        (signal.SIGINT, Reason.INTERRUPTED),
        (signal.SIGUSR2, Reason.PREEMPTED),
    ],
)
def test_a_signal_ends_the_program_at_once_until_somebody_polls(
    number: signal.Signals, reason: Reason
) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        with pytest.raises(StopNow):
            signal.raise_signal(number)
        assert stop.reason is reason
    with StopRequest() as stop:
        stop.poll_from_now()
        signal.raise_signal(number)
        assert stop.reason is reason
        with pytest.raises(StopNow):
            stop.check()
    assert signal.getsignal(number) is before


def test_the_first_reason_counts_and_a_second_ctrl_c_leaves_at_once() -> None:
    def work() -> int:
        with StopRequest() as stop:
            stop.poll_from_now()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR2)
            if stop.reason is not Reason.TERMINATED:
                return 1
        with StopRequest() as stop:
            stop.poll_from_now()
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return 2

    assert code_of(in_child(work)) == 130


@pytest.mark.parametrize(
    ("run", "intent"),
    [
        ({"shouldStop": True, "stopReason": "pruned", "sweep": {"state": "RUNNING"}}, Intent.PRUNE),
        ({"shouldStop": True, "sweep": {"state": "RUNNING"}}, Intent.PRUNE),
        ({"shouldStop": False, "state": "killed", "sweep": {"state": "RUNNING"}}, Intent.PRUNE),
        ({"shouldStop": True, "stopReason": "cancelled", "sweep": {"state": "RUNNING"}}, Intent.CANCEL),
        ({"shouldStop": True, "sweep": {"state": "CANCELED"}}, Intent.CANCEL),
        ({"shouldStop": True, "sweep": None}, Intent.CANCEL),
        ({"shouldStop": False, "state": "running", "sweep": {"state": "RUNNING"}}, Intent.NONE),
        ({"shouldStop": False, "state": "running", "sweep": None}, Intent.NONE),
        (None, Intent.UNKNOWN),
    ],
)
def test_only_a_running_sweep_prunes(run: dict[str, object] | None, intent: Intent) -> None:
    assert judge_stop(run) is intent


def test_a_call_that_never_returns_is_given_up_and_remembered() -> None:
    def work() -> int:
        if in_background(lambda: 5, seconds=5) != 5 or is_stuck():
            return 1
        try:
            in_background(lambda: time.sleep(60), seconds=0.3)
        except Overdue:
            return 7 if is_stuck() else 2
        return 3

    assert code_of(in_child(work)) == 7
