"""Upload, verify, record, delete: whatever fails or is killed, no weights are lost and the copy is proven."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faulty_proxy import FaultyProxy
from tests.integration.trial_driver import Trials, wait_until
from tests.serving import ServerProcess


@pytest.fixture
def trials(wandb_server: ServerProcess, tmp_path: Path) -> Trials:
    return Trials(wandb_server, tmp_path / "model_checkpoints")


def test_a_trial_killed_after_every_part_of_publishing_ends_with_one_proven_artifact(trials: Trials) -> None:
    statuses = []
    for part in ("trained", "upload", "verify", "uploaded", "delete", "cleaned"):
        trials.run(trials.toy(kill_after=part), code=-9)
        record = trials.record(trials.toy())
        assert record is not None
        statuses.append(str(record.status))
        assert bool(trials.checkpoints(trials.toy())) == (part not in ("delete", "cleaned"))
    assert record.freed_bytes > 2 * trials.toy().payload  # known although the deletion was cut off
    assert statuses == ["trained"] * 3 + ["uploaded"] * 2 + ["cleaned"]
    last = trials.run(trials.toy(), code=0)
    assert "Run was previously completed" in last.out
    assert len(trials.artifact_versions(trials.toy())) == 1
    trials.assert_each_row_once(trials.toy())


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("corrupt", "GET"),
        pytest.param("503", "PUT", marks=pytest.mark.slow),
        pytest.param("503", "GET", marks=pytest.mark.slow),
        pytest.param("truncate", "GET", marks=pytest.mark.slow),
    ],
)
def test_a_failing_transfer_keeps_the_local_files_and_the_next_start_uploads(
    trials: Trials, kind: str, method: str
) -> None:
    toy = trials.toy(patience=6.0, payload=100_000)

    def fault(used: str, path: str) -> str | None:
        return kind if used == method and path.startswith("/blobs/") else None

    with FaultyProxy(trials.server.url, fault) as proxy:
        process = trials.run(toy, code=0, WANDB_BASE_URL=proxy.url)
        assert proxy.injected > 0
    record = trials.record(toy)
    assert record is not None and (record.status, record.artifact) == ("trained", None)
    assert "step-00000008" in trials.checkpoints(toy)
    assert "the model was not uploaded" in process.out
    trials.run(replace(toy, patience=None), code=0)
    record = trials.record(toy)
    assert record is not None and record.status == "cleaned"
    assert trials.checkpoints(toy) == []
    assert len(trials.artifact_versions(toy)) == 1
    trials.assert_each_row_once(toy)


def test_a_server_that_dies_neither_stops_training_nor_keeps_the_process_from_ending(trials: Trials) -> None:
    toy = trials.toy(patience=4.0, slow=0.1)
    process = trials.start(toy)
    wait_until(lambda: len(trials.journal(toy)) >= 2, "training has begun")
    trials.server.kill()
    began = time.monotonic()
    assert process.end() == 0, process.errors
    assert time.monotonic() - began < 40
    assert len(trials.journal(toy)) == 8
    record = trials.record(toy)
    assert record is not None and (record.status, record.outcome) == ("trained", "finished")
    assert trials.checkpoints(toy) == ["step-00000008", "step-00000004"]
    trials.server.restart()
    trials.run(replace(toy, patience=None), code=0)
    record = trials.record(toy)
    assert record is not None and record.status == "cleaned"
    trials.assert_each_row_once(toy)


def test_a_server_restarted_during_training_has_every_row_once(trials: Trials) -> None:
    toy = trials.toy(slow=0.4, steps=12)
    process = trials.start(toy)
    wait_until(lambda: len(trials.journal(toy)) >= 2, "training has begun")
    trials.server.kill()
    time.sleep(1.0)
    trials.server.restart()
    assert process.end() == 0, process.errors
    record = trials.record(toy)
    assert record is not None and record.status == "cleaned"
    trials.assert_each_row_once(toy)


def test_without_upload_and_with_keep_local_the_weights_stay(trials: Trials) -> None:
    unsent, kept = trials.toy(seed=1, life={"upload": False}), trials.toy(seed=2, life={"keep_local": True})
    trials.run(unsent, code=0)
    trials.run(kept, code=0)
    for toy, status, versions in ((unsent, "trained", 0), (kept, "uploaded", 1)):
        record = trials.record(toy)
        assert record is not None and record.status == status
        assert trials.checkpoints(toy) == ["step-00000008", "step-00000004"]
        assert len(trials.artifact_versions(toy)) == versions


def test_rows_that_the_client_gave_up_are_sent_at_the_next_start(trials: Trials) -> None:
    toy = trials.toy()

    def lose(method: str, path: str) -> str | None:
        return "404" if path.endswith("/file_stream") else None  # the client takes it for a deleted run

    with FaultyProxy(trials.server.url, lose) as proxy:
        trials.run(toy, code=0, WANDB_BASE_URL=proxy.url)
    assert trials.wandb_run(toy).history_rows == 0
    record = trials.record(toy)
    assert record is not None and (record.status, record.history_sent) == ("cleaned", False)
    trials.run(toy, code=0)
    record = trials.record(toy)
    assert record is not None and record.history_sent
    trials.assert_each_row_once(toy)
