"""Drives sweeps as people do (the real commands) and as an agent's requests do (plain GraphQL over HTTP)."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

BIN = Path(sys.executable).parent
PROJECT = "sweeping"


class Answer(dict[str, Any]):
    """A GraphQL answer's data; `status` and `errors` tell a refusal."""

    status: int = 200
    errors: str = ""


def post(server: Any, path: str, body: Any) -> Answer:
    """POST JSON with the server's key."""
    key = base64.b64encode(f"api:{server.api_key}".encode()).decode()
    request = urllib.request.Request(
        server.url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Basic {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = Answer(json.load(response))
    except urllib.error.HTTPError as error:
        answer = Answer()
        answer.status = error.code
        answer.errors = "\n".join(item["message"] for item in json.load(error)["errors"])
    return answer


def ask(server: Any, query: str, **variables: Any) -> Answer:
    """One GraphQL request."""
    answer = post(server, "/graphql", {"query": query, "variables": variables})
    data = Answer(answer.get("data") or {})
    data.status, data.errors = answer.status, answer.errors
    return data


UPSERT = """mutation U($id: ID, $config: String, $state: String, $project: String) {
    upsertSweep(input: {id: $id, config: $config, state: $state, projectName: $project}) {
        sweep { id name } configValidationWarnings } }"""
REGISTER = """mutation C($sweep: String!, $project: String) {
    createAgent(input: {host: "here", sweep: $sweep, projectName: $project}) { agent { id } } }"""
HEARTBEAT = """mutation H($id: ID!, $runState: JSONString) {
    agentHeartbeat(input: {id: $id, metrics: "{}", runState: $runState}) { agent { id } commands } }"""
SWEEP = """query S($sweep: String!, $project: String) { project(name: $project) { sweep(sweepName: $sweep) {
    id name state method bestLoss runCount runCountExpected displayName
    agents { edges { node { id name host state totalRuns } } }
    runs { edges { node { name state stopReason shouldStop config summaryMetrics exitcode } } } } } }"""


class Sweep:
    """One sweep of a server, spoken to without a client."""

    def __init__(self, server: Any, config: dict[str, Any]) -> None:
        self.server = server
        made = ask(server, UPSERT, config=yaml.safe_dump(config), project=PROJECT)
        assert not made.errors, made.errors
        self.id: str = made["upsertSweep"]["sweep"]["id"]
        self.name: str = made["upsertSweep"]["sweep"]["name"]

    def agent(self) -> Agent:
        found = ask(self.server, REGISTER, sweep=self.name, project=PROJECT)
        return Agent(self.server, found["createAgent"]["agent"]["id"])

    def set(self, **changes: Any) -> Answer:
        return ask(self.server, UPSERT, id=self.id, **changes)

    def view(self) -> dict[str, Any]:
        return view(self.server, self.name)

    def ledger(self) -> list[sqlite3.Row]:
        return ledger(self.server, self.name)

    def post(self, run: str, **body: Any) -> Answer:
        """What a trial's file stream sends."""
        return post(self.server, f"/files/local/{PROJECT}/{run}/file_stream", body)

    def log(self, run: str, *values: float, offset: int = 0) -> None:
        lines = [json.dumps({"loss": value, "_step": offset + i}) for i, value in enumerate(values)]
        answer = self.post(run, files={"wandb-history.jsonl": {"offset": offset, "content": lines}})
        assert answer.status == 200

    def state(self, run: str) -> str:
        return next(node["state"] for node in self.view()["runs"] if node["name"] == run)


class Agent:
    """An agent's requests: what it says it has alive, what it is told."""

    def __init__(self, server: Any, agent_id: str) -> None:
        self.server, self.id = server, agent_id

    def beat(self, *alive: str) -> list[dict[str, Any]]:
        answer = ask(self.server, HEARTBEAT, id=self.id, runState=json.dumps({name: True for name in alive}))
        assert not answer.errors, answer.errors
        commands: list[dict[str, Any]] = json.loads(answer["agentHeartbeat"]["commands"])
        assert len(commands) <= 1  # a function agent reads only the first
        return commands

    def next(self, *alive: str) -> dict[str, Any]:
        (command,) = self.beat(*alive)
        return command


def grid(count: int, **more: Any) -> dict[str, Any]:
    return {"method": "grid", "program": "t.py", "parameters": {"x": {"values": list(range(count))}}, **more}


def finish(sweep: Sweep, run: str) -> None:
    assert sweep.post(run, complete=True, exitcode=0).status == 200


def children_of(process: int | str) -> set[int]:
    """Process ids of a process's children; the server has one a sweep that searches."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return {int(child) for path in lists for child in path.read_text().split()}


def view(server: Any, sweep: str, project: str = PROJECT) -> dict[str, Any]:
    """The sweep as clients see it, `runs` and `agents` as lists."""
    found: dict[str, Any] = ask(server, SWEEP, sweep=sweep, project=project)["project"]["sweep"]
    for name in ("runs", "agents"):
        found[name] = [edge["node"] for edge in found[name]["edges"]]
    return found


def ledger(server: Any, sweep: str) -> list[sqlite3.Row]:
    """The sweep's issued trials in order, from the file."""
    connection = sqlite3.connect(f"file:{server.root}/server.db?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    query = """SELECT issued.* FROM issued JOIN sweeps ON sweeps.id = issued.sweep_id
        WHERE sweeps.name = ? ORDER BY number"""
    try:
        return connection.execute(query, (sweep,)).fetchall()
    finally:
        connection.close()


def points(server: Any, sweep: str) -> list[dict[str, Any]]:
    """The parameters of each issued trial, in issue order."""
    return [json.loads(row["params"]) for row in ledger(server, sweep)]


def eventually(check: Callable[[], Any], timeout: float = 180.0) -> Any:
    """The first true value of `check`, asked again and again; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.2)
    return value


class Commands:
    """The real `wandb` command line in a folder of its own."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.folder = server, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.env = {
            **server.env,
            "WANDB_DIR": str(folder),
        }

    def script(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def call(self, *arguments: str) -> tuple[int, str]:
        """`wandb ...`: its exit code and what it printed."""
        done = subprocess.run(
            [BIN / "wandb", *arguments],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        return done.returncode, done.stdout

    def run(self, *arguments: str) -> str:
        """`wandb ...`, which must succeed: what it printed."""
        code, output = self.call(*arguments)
        assert code == 0, output
        return output

    def sweep(self, spec: dict[str, Any] | str) -> str:
        """`wandb sweep`: the new sweep's name."""
        text = spec if isinstance(spec, str) else yaml.safe_dump(spec)
        (self.folder / "sweep.yaml").write_text(text)
        output = self.run("sweep", "--project", PROJECT, "sweep.yaml")
        found = re.search(r"wandb agent \S*?/(\w+)\s", output.replace("\x1b", " "))
        assert found, output
        return found.group(1)

    @contextmanager
    def agent(self, sweep: str, *flags: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """A `wandb agent` process; whatever still lives of it at the end is killed."""
        with (self.folder / f"agent-{time.monotonic_ns()}.log").open("w+") as log:
            process = subprocess.Popen(
                [BIN / "wandb", "agent", *flags, f"local/{PROJECT}/{sweep}"],
                cwd=self.folder,
                env={**self.env, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("agent-*.log")))
