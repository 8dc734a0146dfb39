"""A checkpoint is complete or absent, whenever the process is killed; what is wrong with one is found."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.checkpoints import CheckpointStore
from transformer_e2e.runs.durable import DiskFull, explain_full_disk
from transformer_e2e.runs.manifest import read_manifest, verify

WRITING = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.truncate", "os.chmod")


def fill_with(text: str) -> Callable[[Path], None]:
    def fill(place: Path) -> None:
        (place / "weights").write_text(text)
        (place / "nested").mkdir()
        (place / "nested" / "moments").write_text(text * 2)

    return fill


def store_in(directory: Path, keep: int = 2) -> CheckpointStore:
    return CheckpointStore(directory, keep=keep, say=lambda _: None)


def save(store: CheckpointStore, step: int, *, best: bool = False, text: str | None = None) -> None:
    store.save(fill_with(text or f"state {step}"), step=step, rows=step, best=best, metric=1.0 / step)


def restored(store: CheckpointStore) -> tuple[int | None, str]:
    seen: list[str] = []

    def load(place: Path) -> None:
        text = (place / "weights").read_text()
        assert (place / "nested" / "moments").read_text() == text * 2
        seen.append(text)

    checkpoint = store.restore(load)
    return (checkpoint.step, seen[-1]) if checkpoint else (None, "")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def killed_at(event: int, work: Callable[[], None]) -> bool:
    """Run `work` in a child, SIGKILLed before its `event`-th file operation; False if it got through."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(name: str, _: object) -> None:
            nonlocal seen
            if name in WRITING:
                seen += 1
                if seen == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def save_new(directory: Path, step: int) -> None:
    save(store_in(directory, keep=1), step, best=True, text="new")


def clear(directory: Path) -> None:
    store_in(directory).remove_all()


@pytest.mark.parametrize("again", [False, True], ids=["new step", "same step again"])
def test_a_save_killed_between_any_two_file_operations_restores_the_old_or_the_new_state(
    tmp_path: Path, again: bool
) -> None:
    step = 1 if again else 2
    seen = set()
    for event in range(1, 500):
        directory = tmp_path / f"{event}"
        directory.mkdir()
        save(store_in(directory, keep=1), 1, best=True)
        killed = killed_at(event, partial(save_new, directory, step))
        state = restored(store_in(directory, keep=1))
        assert state in [(1, "state 1"), (step, "new")]
        seen.add(state)
        save(store_in(directory, keep=1), 3)  # and the next save finds nothing in its way
        assert restored(store_in(directory, keep=1)) == (3, "state 3")
        assert not list(directory.glob(".*"))
        if not killed:
            break
    else:
        pytest.fail("the save never got through")
    assert event > 20 and len(seen) == 2


def test_clearing_killed_anywhere_can_be_repeated(tmp_path: Path) -> None:
    for event in range(1, 200):
        directory = tmp_path / f"{event}"
        directory.mkdir()
        save(store_in(directory), 1, best=True)
        save(store_in(directory), 2)
        killed = killed_at(event, partial(clear, directory))
        for name in (path.name for path in directory.glob("step-*")):
            verify(directory / name)  # no half of one under its own name
        store_in(directory).remove_all()
        assert names(directory) == []
        if not killed:
            return
    pytest.fail("the clearing never got through")


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    store = store_in(tmp_path, keep=2)
    for step in range(1, 7):
        save(store, step, best=step == 2)
    assert [item.step for item in store.all()] == [6, 5, 2]
    assert os.readlink(tmp_path / "latest") == "step-00000006"
    assert os.readlink(tmp_path / "best") == "step-00000002"
    best = store.best()
    assert best is not None and best.step == 2


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda place: (place / "weights").write_text("other"), "weights does not have the digest"),
        (lambda place: (place / "weights").unlink(), "weights is missing"),
        (lambda place: (place / "extra").write_text(""), "extra is not in its manifest"),
        (lambda place: (place / "manifest.json").write_text("{"), "manifest.json cannot be read"),
        (lambda place: (place / "manifest.json").write_text('{"step": "x"}'), "manifest.json cannot be read"),
        (lambda place: (place / "link").symlink_to("/etc/hostname"), "a link out of the checkpoint"),
        (lambda place: os.mkfifo(place / "pipe"), "neither a file nor a directory"),
    ],
)
def test_a_harmed_checkpoint_is_set_aside_and_the_older_one_used(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    said: list[str] = []
    store = CheckpointStore(tmp_path, keep=2, say=said.append)
    save(store, 1)
    save(store, 2)
    harm(tmp_path / "step-00000002")
    assert restored(store) == (1, "state 1")
    assert words in said[0]
    assert (tmp_path / "unusable-step-00000002").is_dir()
    save(store, 2, text="repeated")
    assert restored(store) == (2, "repeated")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_checkpoint_of_another_user_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, 1)
    os.chown(tmp_path / "step-00000001" / "weights", 12345, -1)
    with pytest.raises(CheckpointError, match="weights belongs to user 12345"):
        restored(store)


def test_a_manifest_cannot_name_files_outside(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, 1)
    manifest = tmp_path / "step-00000001" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"]["../../secret"] = "0" * 64
    manifest.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"\.\./\.\./secret is missing"):
        restored(store)


def test_a_checkpoint_that_does_not_load_gives_way_to_an_older_one(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, 1)
    save(store, 2)

    def load(place: Path) -> None:
        if place.name.endswith("2"):
            raise CheckpointError("the certificate does not match")

    checkpoint = store.restore(load)
    assert checkpoint is not None and checkpoint.step == 1


def test_a_bug_in_loading_is_not_taken_for_a_bad_checkpoint(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, 1)
    with pytest.raises(ZeroDivisionError):
        store.restore(lambda _: print(1 // 0))
    assert names(tmp_path) == ["latest", "step-00000001"]


def test_a_save_that_fails_leaves_the_older_ones_and_no_rest(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, 1)

    def full(place: Path) -> None:
        (place / "weights").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull, match=r"about [\d,]+ bytes are needed, [\d,]+ bytes are free"):
        store.save(full, step=2, rows=2, best=True, metric=None)
    assert names(tmp_path) == ["latest", "step-00000001"]
    assert restored(store) == (1, "state 1")


def test_a_full_disk_is_recognised_in_the_words_of_safetensors(tmp_path: Path) -> None:
    words = 'Error while serializing: I/O error: Os { code: 28, kind: StorageFull, message: "No space left" }'
    with pytest.raises(DiskFull), explain_full_disk(tmp_path, needed=0):
        raise RuntimeError(words)
    with pytest.raises(RuntimeError, match="something else"), explain_full_disk(tmp_path, needed=0):
        raise RuntimeError("something else")


def test_a_metric_that_is_no_number_is_strict_json(tmp_path: Path) -> None:
    store_in(tmp_path).save(fill_with("x"), step=1, rows=1, best=False, metric=float("nan"))
    assert read_manifest(tmp_path / "step-00000001").metric is None
