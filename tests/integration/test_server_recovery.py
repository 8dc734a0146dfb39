"""What the server answered is still there after kill -9, and nothing is lost on a full disk."""

from __future__ import annotations

import http.client
import itertools
import json
import resource
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import (
    ServerProcess,
    begin_run,
    call,
    run_client,
    run_fields,
    start_client,
    stream,
    upload_url,
)

SLOW_LOG = """
import sys, time, wandb
with wandb.init(project="demo", id=sys.argv[1]) as run:
    for i in range(150):
        run.log({"value": i, "text": "x" * 300})
        print("row", i, flush=True)
        time.sleep(0.05)
"""
READ = """
import json, sys, wandb
run = wandb.Api().run("local/demo/" + sys.argv[1])
print(json.dumps({
    "state": run.state,
    "rows": [[row["_step"], row["value"]] for row in run.scan_history()],
    "console": [line.content for line in run.console_logs() if line.content.startswith("row ")],
}))
"""


def stored_rows(server: ServerProcess) -> int:
    with sqlite3.connect(f"file:{server.root / 'server.db'}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM history").fetchone()[0])


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def finish(client: subprocess.Popen[str], server: ServerProcess) -> None:
    output, errors = client.communicate(timeout=240)
    assert client.returncode == 0, f"{output}\n{errors}\n{server.log}"


def test_two_kills_under_two_logging_clients_keep_every_row_once(wandb_server: ServerProcess) -> None:
    names = ("one", "two")
    clients = [start_client(wandb_server, SLOW_LOG, name) for name in names]
    for rows in (20, 60):
        wait_until(lambda least=rows: stored_rows(wandb_server) > least)
        wandb_server.kill()
        time.sleep(0.5)
        wandb_server.start()
    for client in clients:
        finish(client, wandb_server)
    for name in names:
        seen = json.loads(run_client(wandb_server, READ, name))
        assert seen["rows"] == [[i, i] for i in range(150)]
        assert seen["console"] == [f"row {i}" for i in range(150)]
        assert seen["state"] == "finished"


class Writer(threading.Thread):
    """Sends one history row after another and counts those that were answered."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        super().__init__(daemon=True)
        self.server, self.run_name, self.answered, self.ending = server, name, 0, threading.Event()
        begin_run(server, name)

    def run(self) -> None:
        while not self.ending.is_set():
            line = json.dumps({"_step": self.answered})
            part = {"offset": self.answered, "content": [line]}
            try:
                status, _ = stream(self.server, self.run_name, {"files": {"wandb-history.jsonl": part}})
            except (OSError, ValueError, http.client.HTTPException):  # the server is dead just now
                time.sleep(0.01)
                continue
            assert status == 200
            self.answered += 1


def test_every_row_answered_before_a_kill_is_there_after_it(wandb_server: ServerProcess) -> None:
    writers = [Writer(wandb_server, f"w{index}") for index in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(2):
        before = [writer.answered for writer in writers]
        wait_until(lambda: all(w.answered > b + 15 for w, b in zip(writers, before, strict=True)))  # noqa: B023
        wandb_server.restart()
    for writer in writers:
        writer.ending.set()
        writer.join(30)
        history = run_fields(wandb_server, writer.run_name, "history")["history"]
        steps = [json.loads(row)["_step"] for row in history]
        assert len(steps) >= writer.answered > 30
        assert steps == list(range(len(steps)))


def test_a_repeated_request_changes_nothing(wandb_server: ServerProcess) -> None:
    begin_run(wandb_server, "r")
    rows = [json.dumps({"_step": step}) for step in range(5)]
    first = {"files": {"wandb-history.jsonl": {"offset": 0, "content": rows[:3]}}}
    second = {"files": {"wandb-history.jsonl": {"offset": 3, "content": rows[3:]}}}
    for body in (first, first, second, second):
        assert stream(wandb_server, "r", body)[0] == 200
    end = {"complete": True, "exitcode": 1}
    assert stream(wandb_server, "r", end)[0] == stream(wandb_server, "r", end)[0] == 200
    seen = run_fields(wandb_server, "r", "history historyLineCount state exitcode")
    assert seen == {"history": rows, "historyLineCount": 5, "state": "failed", "exitcode": 1}


def test_a_full_disk_answers_503_and_loses_nothing(wandb_server: ServerProcess) -> None:
    begin_run(wandb_server, "filler")
    big = [json.dumps({"_step": step, "text": "y" * 2000}) for step in range(200)]
    assert stream(wandb_server, "filler", {"files": {"wandb-history.jsonl": {"content": big}}})[0] == 200
    assert wandb_server.process is not None
    pid, room = wandb_server.process.pid, 64 * 1024
    url = upload_url(wandb_server, "filler", "big.bin")
    assert Path(f"{wandb_server.root}/server.db-wal").stat().st_size > room  # so that appending to it fails

    client = start_client(wandb_server, SLOW_LOG, "one")
    wait_until(lambda: stored_rows(wandb_server) > 220)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, hard))
    for _ in itertools.repeat(None, 3):
        status, answer = stream(wandb_server, "filler", {"files": {"wandb-history.jsonl": {"content": []}}})
        assert status == 503 and "free some space" in answer["errors"][0]["message"]
    assert call("PUT", url, b"z" * 2 * room) == 503
    time.sleep(2)  # the real client meets the full disk too
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert call("PUT", url, b"z" * 2 * room) == 200

    finish(client, wandb_server)
    assert "free some space" in wandb_server.log
    assert json.loads(run_client(wandb_server, READ, "one"))["rows"] == [[i, i] for i in range(150)]
    assert run_fields(wandb_server, "filler", "historyLineCount") == {"historyLineCount": 200}


@pytest.fixture
def impatient_server(tmp_path: Path) -> ServerProcess:
    home = tmp_path / "home"
    home.mkdir()
    return ServerProcess(tmp_path / "server", home, ("--heartbeat_timeout", "4"))


def test_silent_runs_crash_speak_again_and_are_not_blamed_for_a_dead_server(
    impatient_server: ServerProcess,
) -> None:
    server = impatient_server
    server.start()
    try:
        begin_run(server, "r")
        wait_until(lambda: run_fields(server, "r", "state")["state"] == "crashed")
        assert stream(server, "r", {}) == (200, {"stopped": False})
        assert run_fields(server, "r", "state") == {"state": "running"}
        server.kill()
        time.sleep(4.2)
        began = time.monotonic()
        server.start()
        wait_until(lambda: run_fields(server, "r", "state")["state"] == "crashed")
        assert time.monotonic() - began > 4  # the silence began with the server; the watch looks every second
    finally:
        server.kill()
