"""Completion records: written whole, read strictly, listed at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.test_runs_checkpoints import killed_at
from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs import completion
from transformer_e2e.runs.completion import Ending, Record, Status

REPOSITORY = Path(__file__).parents[2]


def record(run_id: str = "toy-1", status: Status = Status.TRAINED) -> Record:
    return Record(
        run_id=run_id,
        status=status,
        outcome=Ending.FINISHED,
        metrics={"eval/loss": 1.25},
        metric_name="eval/loss",
        goal="minimize",
        best_metric=1.25,
        steps=8,
        seconds=1.5,
        counted={"seed": 1},
        wandb_run="local/toys/abc",
    )


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    kept = completion.write(tmp_path, record())
    assert completion.read(tmp_path, "toy-1") == kept
    assert replace(kept, updated_at="") == record() or kept.created_at
    assert kept.wandb_id == "abc"
    assert completion.read(tmp_path, "toy-2") is None


def test_a_record_without_a_schema_is_read_and_a_schema_is_kept(tmp_path: Path) -> None:
    schema = {"task": "classification", "labels": ["no", "yes"], "extra": {}}
    completion.write(tmp_path, replace(record(), schema=schema))
    path = completion.record_path(tmp_path, "toy-1")
    content = json.loads(path.read_text())
    assert content["schema"] == schema
    assert completion.read(tmp_path, "toy-1").schema == schema
    del content["schema"]  # as written before there were schemas
    path.write_text(json.dumps(content))
    assert completion.read(tmp_path, "toy-1").schema is None


def test_an_update_killed_anywhere_leaves_the_old_or_the_new_record(tmp_path: Path) -> None:
    seen = set()
    for event in range(1, 50):
        completion.write(tmp_path, record())
        killed = killed_at(event, lambda: completion.write(tmp_path, record(status=Status.CLEANED)) and None)
        found = completion.read(tmp_path, "toy-1")
        assert found is not None
        seen.add(found.status)
        if not killed:
            break
    assert seen == {Status.TRAINED, Status.CLEANED}
    assert len(completion.records(tmp_path)) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"run_id": "bad"}', '{"run_id": "bad", "status": "eaten", "outcome": "finished"}'],
)
def test_a_damaged_record_is_said_and_the_others_listed(tmp_path: Path, text: str) -> None:
    completion.write(tmp_path, record())
    (tmp_path / "completion_tracking" / "bad_completed.json").write_text(text)
    said: list[str] = []
    assert [item.run_id for item in completion.records(tmp_path, say=said.append)] == ["toy-1"]
    assert len(said) == 1 and "bad_completed.json" in said[0]
    with pytest.raises(CheckpointError, match="is damaged"):
        completion.read(tmp_path, "bad")


def test_a_record_under_another_name_is_damaged(tmp_path: Path) -> None:
    completion.write(tmp_path, record())
    folder = tmp_path / "completion_tracking"
    (folder / "toy-1_completed.json").rename(folder / "toy-9_completed.json")
    with pytest.raises(CheckpointError, match="it belongs to 'toy-1'"):
        completion.read(tmp_path, "toy-9")


def test_keys_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    completion.write(tmp_path, record())
    path = tmp_path / "completion_tracking" / "toy-1_completed.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "invented_later": 1}))
    found = completion.read(tmp_path, "toy-1")
    assert found is not None and found.steps == 8


def test_a_history_is_only_marked_as_sent_by_the_run_that_the_record_names(tmp_path: Path) -> None:
    completion.write(tmp_path, record())
    completion.note_history_sent(tmp_path, "toy-1", wandb_run="local/toys/other", url=None)
    found = completion.read(tmp_path, "toy-1")
    assert found is not None and not found.history_sent
    completion.note_history_sent(tmp_path, "toy-1", wandb_run="me/toys/abc", url="http://x")
    found = completion.read(tmp_path, "toy-1")
    assert found is not None and found.history_sent and found.wandb_run == "me/toys/abc"


def test_records_are_readable_by_colleagues(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        completion.write(tmp_path, record())
    finally:
        os.umask(before)
    assert (tmp_path / "completion_tracking" / "toy-1_completed.json").stat().st_mode & 0o777 == 0o644


def test_a_thousand_records_are_listed_without_anything_heavy(tmp_path: Path) -> None:
    """How long it takes is measured in benchmarks/list_records.py."""
    path = completion.record_path(tmp_path, "toy-0")
    completion.write(tmp_path, record("toy-0"))
    content = json.loads(path.read_text())
    for number in range(1, 1000):
        name = f"toy-{number}"
        (path.parent / f"{name}_completed.json").write_text(json.dumps({**content, "run_id": name}))
    script = "import sys; from scripts.manage_completed_runs import main\n"
    script += "main(['--checkpoint_dir', sys.argv[1], 'list', '--json'])\n"
    script += "print({'torch', 'wandb', 'numpy', 'yaml'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    *listed, heavy = answer.stdout.splitlines()
    assert (len(listed), heavy) == (1000, "set()")
