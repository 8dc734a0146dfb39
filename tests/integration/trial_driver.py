"""Starts toy trials as processes and reads back what they left: on disk, and on the server."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.sweep_driver import ask
from tests.serving import REPOSITORY, ServerProcess
from tests.toy_trial import Toy
from transformer_e2e.runs import completion
from transformer_e2e.runs.attempts import read_attempts
from transformer_e2e.runs.checkpoints import list_checkpoints
from transformer_e2e.runs.completion import Record
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.tracker_connection import Connection
from transformer_e2e.runs.tracker_queries import RunView, find_runs

WAIT_SECONDS = 120.0  # until something that must happen counts as missing; two very busy cores

_HISTORY = """query H($run: String!) { project(name: "toys") { run(name: $run) {
    history(minStep: 0, maxStep: 100000, samples: 100000) } } }"""
_VERSIONS = """query A($name: String!) { project(name: "toys") {
    artifactType(name: "model") { artifactCollection(name: $name) {
        artifacts { edges { version node { state metadata aliases { alias } } } } } } } }"""


class ToyProcess:
    """One process working on a toy trial; everything it printed after `end`."""

    def __init__(self, toy: Toy, env: dict[str, str]) -> None:
        arguments = {name: value for name, value in vars(toy).items() if value is not None}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.toy_trial", json.dumps(arguments)],
            cwd=REPOSITORY,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out = self.errors = ""

    def end(self) -> int:
        """Wait; return the exit code."""
        heard = self.out
        try:
            self.out, self.errors = self.process.communicate(timeout=WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.errors = self.process.communicate()
            raise AssertionError(f"the trial did not end\n{heard}{self.out}\n{self.errors}") from None
        self.out = heard + self.out
        return self.process.returncode

    def says(self, text: str) -> None:
        """Wait until it has printed `text`, which is ASCII."""
        assert self.process.stdout is not None
        descriptor, deadline = self.process.stdout.fileno(), time.monotonic() + WAIT_SECONDS
        while text not in self.out:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            letter = os.read(descriptor, 1) if ready else b""  # no more, or `end` would miss what follows
            assert letter, f"it never said {text!r}: {self.out}"
            self.out += letter.decode("ascii", errors="replace")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class Trials:
    """Toy trials below one root, tracked by one server."""

    def __init__(self, server: ServerProcess, root: Path) -> None:
        self.server, self.root = server, root

    def toy(self, **fields: Any) -> Toy:
        return Toy(root=str(self.root), **fields)

    def start(self, toy: Toy, **env: str) -> ToyProcess:
        return ToyProcess(toy, {**self.server.env, **env})

    def run(self, toy: Toy, *, code: int, **env: str) -> ToyProcess:
        """Run to the end and check the exit code."""
        process = self.start(toy, **env)
        ended = process.end()
        assert ended == code, f"exit code {ended}, not {code}\n{process.out}\n{process.errors}"
        return process

    def directory(self, toy: Toy) -> Path:
        return self.root / toy.run_id

    def record(self, toy: Toy) -> Record | None:
        return completion.read(self.root, toy.run_id)

    def checkpoints(self, toy: Toy) -> list[str]:
        return [path.name for path in list_checkpoints(self.directory(toy))]

    def journal(self, toy: Toy) -> list[dict[str, Any]]:
        return [row["metrics"] for row in read_journal(self.directory(toy))]

    def ends(self, toy: Toy) -> list[dict[str, Any]]:
        return [line for line in read_attempts(self.directory(toy)) if line["event"] == "end"]

    def wandb_runs(self, toy: Toy) -> list[RunView]:
        connection = Connection(self.server.url, self.server.api_key)
        return find_runs(toy.run_id, project="toys", entity=None, connection=connection)

    def wandb_run(self, toy: Toy) -> RunView:
        (run,) = self.wandb_runs(toy)
        return run

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows that W&B holds, without W&B's own keys but `_step`."""
        rows = ask(self.server, _HISTORY, run=run)["project"]["run"]["history"]
        return [
            {name: value for name, value in json.loads(row).items() if name == "_step" or name[0] != "_"}
            for row in rows
        ]

    def artifact_versions(self, toy: Toy) -> list[dict[str, Any]]:
        """Committed versions of the trial's model; empty without any."""
        found = ask(self.server, _VERSIONS, name=f"model-{toy.run_id}")["project"]["artifactType"]
        collection = (found or {}).get("artifactCollection")
        edges = collection["artifacts"]["edges"] if collection else []
        return [edge for edge in edges if edge["node"]["state"] == "COMMITTED"]

    def assert_each_row_once(self, toy: Toy, run: str | None = None) -> None:
        """W&B's rows are the journal's, in order, with the same numbers."""
        expected = [{"_step": number, **row} for number, row in enumerate(self.journal(toy))]
        assert self.history(run or self.wandb_run(toy).name) == expected


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)
