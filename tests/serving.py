"""A real embedded server and real W&B client processes for tests."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

REPOSITORY = Path(__file__).parents[1]
START_SECONDS = 120.0  # on two very busy cores


@dataclass
class ServerProcess:
    """One server root; the process that serves it can be killed and started again at the same address."""

    root: Path
    home: Path  # where clients keep their own files
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        return (self.root / "api_key").read_text().strip()

    @property
    def env(self) -> dict[str, str]:
        """The environment of a client process: this server, own folders, nothing of ours inherited."""
        return {
            **clean_environment(self.home),
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": self.api_key,
        }

    @property
    def log(self) -> str:
        return self.root.with_suffix(".log").read_text()

    def start(self) -> None:
        """Start serving and wait until it answers."""
        self.port = self.port or lasting_port()
        command = [sys.executable, "-m", "transformer_e2e.server", "--root", str(self.root)]
        with self.root.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), *self.options],
                cwd=REPOSITORY,
                env=clean_environment(self.home),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the server did not start:\n{self.log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        assert self.process is not None
        try:
            published = json.loads((self.root / "server.json").read_text())
            if published["pid"] != self.process.pid:
                return False  # left by a process that was killed
            self.port = int(published["url"].rpartition(":")[2])
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return json.load(answer)["pid"] == self.process.pid
        except (OSError, ValueError):
            return False

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Serve the same root at the same address again; whatever still serves it is killed first."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """End cleanly; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


# pytest-xdist's two workers, gw0 and gw1, begin far from each other.
_OFFERED = itertools.count(
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) * 10_000 + os.getpid() % 1000
)


def lasting_port() -> int:
    """A free port of 127.0.0.1 that the kernel gives nobody who asks for any: it is still free when whoever
    listened there was killed and is started again."""
    for number in _OFFERED:
        port = 10_000 + number % 20_000  # Linux gives away 32768 and later
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("itertools.count ended")


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment without its W&B settings, with every W&B folder below `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}",
        "HOME": str(home),
        "NETRC": str(home / ".netrc"),
        "WANDB_DIR": str(home),
        "WANDB_CONFIG_DIR": str(home / "config"),
        "WANDB_CACHE_DIR": str(home / "cache"),
        "WANDB_DATA_DIR": str(home / "data"),
        "WANDB_ARTIFACT_DIR": str(home / "artifacts"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",
        "WANDB_X_DISABLE_STATS": "true",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }


def become_client(env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the W&B settings and folders of `env` and no others, until the test ends."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        if name.startswith(("WANDB_", "HOME", "NETRC")):
            monkeypatch.setenv(name, value)


def start_client(server: ServerProcess, script: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """A Python process that runs `script` (source text) as a client of the server, in its home."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=server.home,
        env={**server.env, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_client(
    server: ServerProcess, script: str, *arguments: str, timeout: float = 240, exit_code: int = 0, **env: str
) -> str:
    """What `script` prints; fails with its errors and the server's log unless it ends with `exit_code`."""
    client = start_client(server, script, *arguments, **env)
    try:
        output, errors = client.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        client.kill()
        output, errors = client.communicate()
        raise AssertionError(f"client took over {timeout} s\n{output}\n{errors}\n{server.log}") from None
    assert client.returncode == exit_code, (
        f"exit code {client.returncode}\n{output}\n{errors}\nserver:\n{server.log}"
    )
    return output


def post(
    server: ServerProcess, path: str, body: Any, key: str | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """POST with the server's key (or another); `body` is sent as JSON unless it is bytes. (status, answer)"""
    credentials = base64.b64encode(f"api:{key or server.api_key}".encode()).decode()
    request = urllib.request.Request(
        server.url + path,
        data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def begin_run(server: ServerProcess, name: str, **fields: Any) -> None:
    """What a client's fresh init of run `name` in project `raw` does, in one request."""
    query = "mutation ($input: Input!) { upsertBucket(input: $input) { inserted } }"
    run_input = {"name": name, "modelName": "raw", "host": "test", **fields}
    status, answer = post(server, "/graphql", {"query": query, "variables": {"input": run_input}})
    assert status == 200, answer


def run_fields(server: ServerProcess, name: str, fields: str) -> dict[str, Any]:
    """Fields of a run in project `raw`, e.g. `state stopReason`."""
    query = f'query {{ project(name: "raw") {{ run(name: "{name}") {{ {fields} }} }} }}'
    status, answer = post(server, "/graphql", {"query": query})
    assert status == 200, answer
    run: dict[str, Any] = answer["data"]["project"]["run"]
    return run


def upload_url(server: ServerProcess, name: str, file: str) -> str:
    """The signed URL for a file of a run in project `raw`."""
    query = """mutation ($run: String, $files: [String!]!) { createRunFiles(
        input: {projectName: "raw", runName: $run, files: $files}) { files { name uploadUrl } } }"""
    status, answer = post(server, "/graphql", {"query": query, "variables": {"run": name, "files": [file]}})
    assert status == 200, answer
    url: str = answer["data"]["createRunFiles"]["files"][0]["uploadUrl"]
    return url


def call(method: str, url: str, body: bytes | None = None) -> int:
    """The status of a request without a key."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def stream(server: ServerProcess, name: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """One file_stream request of a run in project `raw`."""
    return post(server, f"/files/local/raw/{name}/file_stream", body, **headers)
