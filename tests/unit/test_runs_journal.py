"""The journal: strict JSON, whole rows only, replayed rows compared and not repeated."""

from __future__ import annotations

import json
import math
import os
import resource
from pathlib import Path

import pytest

from transformer_e2e.runs.durable import DiskFull
from transformer_e2e.runs.journal import Journal, read_journal


def lines(directory: Path) -> list[str]:
    return (directory / "metrics.jsonl").read_text().splitlines()


def written(directory: Path, count: int) -> None:
    journal = Journal(directory)
    for step in range(1, count + 1):
        assert journal.append(step, {"loss": 1.0 / step, "perf/speed": step}) == step - 1
    journal.close()


@pytest.mark.parametrize(
    "torn", [b"{", b'{"step": 4, "metrics": {"loss": 1', b"\x00\x00\n", b'{"step": 4}\n']
)
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    written(tmp_path, 3)
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(torn)
    journal = Journal(tmp_path)
    assert journal.count == 3
    assert journal.append(4, {"loss": 0.25}) == 3
    assert [row["step"] for row in read_journal(tmp_path)] == [1, 2, 3, 4]


def test_replayed_rows_are_compared_but_not_written_again(tmp_path: Path) -> None:
    written(tmp_path, 4)
    journal = Journal(tmp_path)
    journal.rewind(2)
    assert journal.position == 2
    assert journal.append(3, {"loss": 1.0 / 3, "perf/speed": -1}) is None
    assert journal.position == 3
    assert journal.append(4, {"loss": 0.26}) is None
    assert journal.differences == ["step 4: loss was 0.25, now 0.26"]
    assert journal.append(5, {"loss": 0.2}) == 4
    assert [row["metrics"]["loss"] for row in read_journal(tmp_path)] == [1, 0.5, 1 / 3, 0.25, 0.2]


def test_two_rows_of_one_step_are_replayed_in_order_and_a_missing_second_one_is_new(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(1, {"train/loss": 1.0})
    journal.append(1, {"eval/loss": 2.0})
    journal.append(2, {"train/loss": 3.0})
    journal.rewind(0)
    assert [journal.append(1, {"train/loss": 1.0}), journal.append(1, {"eval/loss": 2.0})] == [None, None]
    assert journal.append(2, {"train/loss": 3.0}) is None
    assert journal.append(2, {"eval/loss": 4.0}) == 3
    assert journal.differences == []


def test_another_logging_interval_keeps_the_rows_logged_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in (10, 20, 30):
        journal.append(step, {"loss": float(step)})
    journal.rewind(1)
    results = [journal.append(step, {"loss": float(step)}) for step in (15, 25, 30, 35)]
    assert results == [None, None, None, 3]
    assert [row["step"] for row in read_journal(tmp_path)] == [10, 20, 30, 35]
    assert journal.differences == [
        "step 15 was not logged before, and now is",
        "step 20 was logged before, and now is not",
        "step 25 was not logged before, and now is",
    ]


def test_numbers_that_json_lacks_are_texts_and_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in lines(tmp_path):
        json.loads(line, parse_constant=refuse)
    (row,) = read_journal(tmp_path)
    assert math.isnan(row["metrics"]["a"])
    assert (row["metrics"]["b"], row["metrics"]["c"], row["metrics"]["d"]) == (math.inf, -math.inf, 1)
    journal.rewind(0)
    assert journal.append(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1}) is None
    assert journal.differences == []


def test_rows_that_were_lost_keep_their_numbers(tmp_path: Path) -> None:
    written(tmp_path, 2)
    journal = Journal(tmp_path)
    journal.rewind(4)
    assert journal.append(5, {"loss": 0.2}) == 4
    assert [number for number, _ in journal.rows_from(0)] == [0, 1, 4]


def test_a_row_that_does_not_fit_on_the_disk_leaves_the_rows_before_it(tmp_path: Path) -> None:
    written(tmp_path, 3)
    size = (tmp_path / "metrics.jsonl").stat().st_size
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
        try:
            Journal(tmp_path).append(4, {"loss": 0.25})
        except DiskFull:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert (tmp_path / "metrics.jsonl").stat().st_size == size
    assert len(read_journal(tmp_path)) == 3


def test_the_best_value_follows_the_goal_and_ignores_nan(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step, value in enumerate([3.0, math.nan, 1.0, 2.0]):
        journal.append(step, {"eval/loss": value})
    assert journal.best("eval/loss", minimize=True) == 1.0
    assert journal.best("eval/loss", minimize=False) == 3.0
    assert journal.best("eval/f1", minimize=False) is None
