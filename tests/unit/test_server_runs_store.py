"""The state machine of runs, their lines, and the filters of `wandb.Api().runs`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from transformer_e2e.server.db import Database
from transformer_e2e.server.runs import files, filters, lines, lines_store, silence, store
from transformer_e2e.server.wire import Refusal


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(tmp_path / "server.db")


def add_run(db: Database, name: str = "r", state: str = "running", **columns: Any) -> int:
    with db.write() as tx:
        return store.create_run(tx, store.ensure_project(tx, None, "p"), name, state, **columns)


def run(db: Database, run_id: int) -> sqlite3.Row:
    with db.read() as conn:
        found = store.run_by_id(conn, run_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("stop", "preempting", "exit_code", "state"),
    [
        (False, 0, 0, "finished"),
        (False, 0, 1, "failed"),
        (False, 1, 0, "finished"),
        (False, 1, 1, "preempted"),
        (True, 0, 0, "killed"),
        (True, 0, 143, "killed"),
        (True, 1, 1, "killed"),
        (False, 0, 255, "killed"),
        (False, 1, 255, "preempted"),
    ],
)
def test_intent_comes_before_the_exit_code(
    db: Database, stop: bool, preempting: int, exit_code: int, state: str
) -> None:
    run_id = add_run(db, preempting=preempting)
    with db.write() as tx:
        if stop:
            assert store.request_stop(tx, run_id, "pruned")
        assert store.end_run(tx, run_id, exit_code) == state
        assert store.end_run(tx, run_id, exit_code) == state  # a repeated request
    assert (run(db, run_id)["state"], run(db, run_id)["exit_code"]) == (state, exit_code)


def test_the_first_reason_to_stop_stays_and_ended_runs_refuse(db: Database) -> None:
    live, ended = add_run(db, "live", "pending"), add_run(db, "ended", "finished")
    with db.write() as tx:
        assert store.request_stop(tx, live, "pruned") and store.request_stop(tx, live, "cancelled")
        assert not store.request_stop(tx, ended, "cancelled")
        assert not store.request_stop(tx, 999, "cancelled")
        with pytest.raises(ValueError, match="known: pruned, cancelled, stopped"):
            store.request_stop(tx, live, "boredom")
    assert run(db, live)["stop_reason"] == "pruned"
    assert run(db, ended)["stop_requested"] == 0


def test_unknown_states_are_refused(db: Database) -> None:
    run_id = add_run(db)
    with db.write() as tx, pytest.raises(Refusal, match="known: pending, running"):
        store.set_state(tx, run_id, "sleeping")


def test_silence_is_judged_by_intent_and_spares_the_ended(db: Database) -> None:
    silent = {"heartbeat_at": 0.0}
    ids = {
        "crashed": add_run(db, "a", **silent),
        "killed": add_run(db, "b", stop_requested=1, **silent),
        "preempted": add_run(db, "c", "preempting", preempting=1, **silent),
        "finished": add_run(db, "d", "finished", **silent),
        "pending": add_run(db, "e", "pending", **silent),
        "running": add_run(db, "f"),
    }
    judged = silence.judge(db, 60.0)
    assert sorted(judged) == sorted(ids[state] for state in ("crashed", "killed", "preempted"))
    for state, run_id in ids.items():
        assert run(db, run_id)["state"] == state


def test_a_restart_starts_every_clock_anew(db: Database) -> None:
    run_id = add_run(db, heartbeat_at=0.0)
    silence.forgive(db)
    assert silence.judge(db, 60.0) == []
    assert run(db, run_id)["state"] == "running"


def test_names_are_free_again_after_deletion_only(db: Database) -> None:
    first = add_run(db, "same")
    with pytest.raises(sqlite3.IntegrityError):
        add_run(db, "same")
    with db.write() as tx:
        store.update_run(tx, first, deleted_at=1.0)
    second = add_run(db, "same")
    with db.read() as conn:
        found = store.find_run(conn, None, "p", "same")
    assert found is not None and found["id"] == second


def test_appended_lines_replace_what_lies_behind_their_offset(db: Database) -> None:
    run_id = add_run(db)
    with db.write() as tx:
        for table in ("events", "console"):
            lines_store.append(tx, table, run_id, 0, ["a", "b", "c"])
        lines_store.append(tx, "events", run_id, 1, ["B"])
        lines_store.overwrite(tx, "console", run_id, 1, ["B"])
        assert lines_store.texts(tx, "events", run_id) == [(0, "a"), (1, "B")]
        assert lines_store.texts(tx, "console", run_id) == [(0, "a"), (1, "B"), (2, "c")]
        assert lines_store.texts(tx, "console", run_id, 1, 1) == [(1, "B")]
        assert (lines_store.count(tx, "events", run_id), lines_store.tail(tx, "events", run_id)) == (2, "B")


def test_history_is_found_by_step_and_by_line_where_there_is_none(db: Database) -> None:
    run_id = add_run(db)
    rows = ['{"_step": 0}', '{"_step": 10, "x": NaN}', '{"x": 1}', '{"_step": 30}']
    with db.write() as tx:
        lines_store.append(tx, "history", run_id, 0, rows)
        assert [text for _, text in lines_store.history(tx, run_id)] == rows
        assert lines_store.history(tx, run_id, 10, 30) == [(1, rows[1])]
        assert lines_store.history(tx, run_id, 2, 3) == [(2, rows[2])]
        assert list(lines_store.history_rows(tx, run_id, 10)) == [{"_step": 10, "x": "NaN"}, {"_step": 30}]


def test_metric_history_keeps_nan_and_follows_nested_names(db: Database) -> None:
    run_id = add_run(db)
    rows = ['{"a": {"b": 1}}', '{"c": 2}', '{"a": {"b": NaN}}', '{"a.b": 3}', '{"a": {"b": "Infinity"}}']
    more = ['{"a": {"b": "text"}}', '{"a": {"b": true}}', '{"a": 5}']
    with db.write() as tx:
        lines_store.append(tx, "history", run_id, 0, rows + more)
        values = store.metric_history(tx, run_id, "a.b")
    assert values[0] == 1 and values[1] != values[1] and values[2:] == [3, float("inf")]


def test_spread_keeps_both_ends() -> None:
    assert lines.spread(range(10), 4) == [0, 3, 6, 9]
    assert lines.spread(range(3), 10) == lines.spread(range(3), None) == [0, 1, 2]
    assert lines.spread(range(3), 1) == [2]
    assert lines.spread(range(3), 0) == []


def test_console_lines_are_taken_apart() -> None:
    moment = "2026-01-31T12:00:00.123456"
    assert lines.console_line(3, f"ERROR {moment} oh no") == {
        "number": 3,
        "timestamp": f"{moment}Z",
        "level": "error",
        "label": "",
        "line": "oh no",
    }
    plain = lines.console_line(0, f"{moment} said")
    assert (plain["level"], plain["line"]) == ("", "said")
    other = lines.console_line(0, "no time at all")
    assert (other["timestamp"], other["line"]) == (None, "no time at all")


def test_file_names_are_normalised() -> None:
    assert files.normalised("./a//b") == files.normalised("a\\b") == "a/b"


@pytest.fixture
def runs(db: Database) -> list[sqlite3.Row]:
    settings = [(0.1, 3.0, ["x"]), (0.01, "NaN", ["x", "y"]), (0.001, 1.0, []), (None, None, [])]
    for index, (lr, loss, tags) in enumerate(settings):
        config = {"lr": {"value": lr}, "opt": {"value": {"kind": f"k{index}"}}} if lr else {}
        add_run(
            db,
            f"r{index}",
            "finished" if index else "failed",
            config=json.dumps(config),
            summary=json.dumps({"eval/loss": loss, "nested": {"v": index}} if loss else {}),
            tags=json.dumps(tags),
            created_at=1_700_000_000.0 + index,
        )
    with db.read() as conn:
        return store.select_runs(conn, "1")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, "0123"),
        ({"state": "finished"}, "123"),
        ({"state": {"$ne": "finished"}}, "0"),
        ({"state": {"$in": ["failed", "crashed"]}}, "0"),
        ({"state": {"$nin": ["failed"]}}, "123"),
        ({"config.lr": 0.1}, "0"),
        ({"config.lr.value": {"$gte": 0.01}}, "01"),
        ({"config.lr": {"$gt": 0.0005, "$lt": 0.05}}, "12"),
        ({"config.opt.kind": "k1"}, "1"),
        ({"config.opt.value.kind": "k1"}, "1"),
        ({"config.lr": {"$exists": False}}, "3"),
        ({"config.lr": None}, "3"),
        ({"summary_metrics.eval/loss": {"$lte": 2}}, "2"),
        ({"summary_metrics.nested.v": 2}, "2"),
        ({"tags": "x"}, "01"),
        ({"tags": {"$in": ["y", "z"]}}, "1"),
        ({"tags": {"$nin": ["y"]}}, "023"),
        ({"display_name": {"$regex": "^r[01]$"}}, "01"),
        ({"$or": [{"name": "r0"}, {"name": "r3"}]}, "03"),
        ({"$and": [{"tags": "x"}, {"state": "finished"}]}, "1"),
        ({"$nor": [{"name": "r0"}]}, "123"),
        ({"$not": {"name": "r0"}}, "123"),
        ({"name": {"$not": {"$eq": "r0"}}}, "123"),
        ({"created_at": {"$gt": "2023-11-14T22:13:21"}}, "23"),
        ({"created_at": {"$lte": "2023-11-14T23:13:21+01:00"}}, "01"),
        ({"createdAt": {"$gte": "2023-11-14T22:13:23Z"}}, "3"),
    ],
)
def test_filters(runs: list[sqlite3.Row], condition: dict[str, Any], expected: str) -> None:
    found = filters.matching(runs, json.dumps(condition))
    assert [row["name"] for row in found] == [f"r{digit}" for digit in expected]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, "0123"),
        ("-created_at", "3210"),
        ("+summary_metrics.eval/loss", "2013"),
        ("-summary_metrics.eval/loss", "0213"),
        ("-config.lr.value", "0123"),
        ("+config.lr", "2103"),
        ("+state,-created_at", "0321"),
    ],
)
def test_orders_put_runs_without_the_value_last(
    runs: list[sqlite3.Row], order: str | None, expected: str
) -> None:
    assert [row["name"] for row in filters.ordered(runs, order)] == [f"r{digit}" for digit in expected]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"shoe_size": 3}, "'shoe_size' is not something"),
        ({"state": {"$near": 3}}, "unknown operator '\\$near'"),
        ({"created_at": {"$gt": "yesterday"}}, "'yesterday' is not a time"),
        ({"state": {"$regex": "("}}, "not a regular expression"),
        (["state"], "a filter must be an object"),
    ],
)
def test_filters_that_mean_nothing_are_refused(runs: list[sqlite3.Row], condition: Any, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        filters.matching(runs, json.dumps(condition))
