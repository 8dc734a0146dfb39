"""A save in the background: one at a time, its error fetched once, never half kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.serving import REPOSITORY
from tests.unit.test_runs_checkpoints import fill_with, killed_at, names, restored, save, store_in
from transformer_e2e.runs.manifest import read_manifest, verify
from transformer_e2e.runs.save_thread import SaveThread


def test_the_work_is_done_in_another_thread_of_lower_priority():
    thread: SaveThread[tuple[int, int]] = SaveThread()
    thread.start(lambda: (threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    result = thread.wait()
    assert result is not None and result[0] != threading.get_ident()
    if sys.platform == "linux":
        assert result[1] == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert thread.wait() is None and not thread.done


def test_the_next_work_waits_for_the_one_before_and_gets_its_error_once():
    thread: SaveThread[None] = SaveThread()
    seen: list[str] = []

    def fails() -> None:
        time.sleep(0.05)
        seen.append("first")
        raise OSError(5, "Input/output error")

    thread.start(fails)
    with pytest.raises(OSError, match="Input/output"):
        thread.start(lambda: seen.append("never"))
    thread.start(lambda: seen.append("second"))
    thread.wait()
    assert seen == ["first", "second"]


@pytest.mark.parametrize("end", ["", "raise ZeroDivisionError", "sys.exit(3)"])
def test_an_interpreter_that_ends_ends_after_the_work(tmp_path: Path, end: str) -> None:
    program = f"""
import sys, time
from pathlib import Path
from transformer_e2e.runs.save_thread import SaveThread
def work():
    time.sleep(0.5)
    Path({str(tmp_path / "done")!r}).touch()
SaveThread().start(work)
{end}
"""
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.DEVNULL, timeout=240)
    assert (tmp_path / "done").exists()


def save_in_thread(directory: Path) -> None:
    thread: SaveThread[None] = SaveThread()
    thread.start(lambda: save(store_in(directory, keep=1), 2, best=True, text="new"))
    thread.wait()


def test_a_background_save_killed_between_any_two_file_operations(tmp_path: Path) -> None:
    seen = set()
    for event in range(1, 500):
        directory = tmp_path / f"{event}"
        directory.mkdir()
        save(store_in(directory, keep=1), 1, best=True)
        killed = killed_at(event, partial(save_in_thread, directory))
        state = restored(store_in(directory, keep=1))
        assert state in [(1, "state 1"), (2, "new")]
        seen.add(state)
        if not killed:
            break
    assert event > 20 and len(seen) == 2


def test_digests_that_the_writer_knows_are_not_computed_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)

    def fill(place: Path) -> dict[str, str]:
        fill_with("text")(place)
        return {"weights": "known"}

    store.save(fill, step=1, rows=0, best=False, metric=None)
    files = read_manifest(tmp_path / "step-00000001").files
    assert files["weights"] == "known" and len(files["nested/moments"]) == 64
    with pytest.raises(Exception, match="weights does not have the digest"):
        verify(tmp_path / "step-00000001")


def test_an_error_in_the_background_leaves_the_older_ones_and_no_rest(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, 1)
    thread: SaveThread[object] = SaveThread()

    def full(place: Path) -> None:
        (place / "weights").write_text("half")
        raise OSError(28, "No space left on device")

    thread.start(lambda: store.save(full, step=2, rows=2, best=True, metric=None))
    with pytest.raises(Exception, match="is full"):
        thread.wait()
    assert names(tmp_path) == ["latest", "step-00000001"]
