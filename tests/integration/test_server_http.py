"""The server's HTTP edges: keys, signed URLs, odd bodies, stops, start and end of the process."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.request

from tests.serving import (
    REPOSITORY,
    ServerProcess,
    begin_run,
    call,
    post,
    run_fields,
    stream,
    upload_url,
)

CREATE_FILES = """mutation ($files: [String!]!) { createRunFiles(
    input: {projectName: "raw", runName: "r", files: $files}) { files { name uploadUrl } } }"""
STOP = "mutation ($id: ID!) { stopRun(input: {id: $id}) { success } }"
STOP_CHECK = """query Ours { project(name: "raw", entityName: "local") {
    run(name: "r") { state stopped shouldStop stopReason sweep { state } } } }"""


def test_graphql_and_file_stream_need_the_key(shared_server: ServerProcess) -> None:
    for path in ("/graphql", "/files/local/raw/r/file_stream"):
        status, answer = post(shared_server, path, {"query": "{ viewer { id } }"}, key="0" * 40)
        assert status == 401 and "api_key" in answer["errors"][0]["message"]
    assert post(shared_server, "/graphql", {"query": "{ viewer { entity } }"}) == (
        200,
        {"data": {"viewer": {"entity": "local"}}},
    )


def test_secrets_are_readable_by_their_owner_only(shared_server: ServerProcess) -> None:
    for name in ("api_key", "url_secret"):
        assert stat.S_IMODE((shared_server.root / name).stat().st_mode) == 0o600


def test_the_two_exports_let_a_shell_in_and_show_no_key(wandb_server: ServerProcess) -> None:
    lines = [line for line in wandb_server.log.splitlines() if line.startswith("export ")]
    assert len(lines) == 2 and wandb_server.api_key not in wandb_server.log
    script = "\n".join([*lines, 'echo "$WANDB_BASE_URL $WANDB_API_KEY"'])
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert said == [wandb_server.url, wandb_server.api_key]
    assert stat.S_IMODE(wandb_server.root.stat().st_mode) == 0o700


def test_the_links_that_the_client_prints_lead_to_a_page_without_data(shared_server: ServerProcess) -> None:
    begin_run(shared_server, "secret-run")
    for path in ("/", "/local/raw", "/local/raw/runs/secret-run", "/local/raw/sweeps/abcdefgh"):
        with urllib.request.urlopen(shared_server.url + path, timeout=10) as answer:
            page = answer.read().decode()
        assert "embedded W&amp;B server" in page and "secret-run" not in page


def test_signed_urls_permit_their_own_method_and_path_only(shared_server: ServerProcess) -> None:
    begin_run(shared_server, "r")
    put = upload_url(shared_server, "r", "deep/a b.txt")
    assert call("GET", put) == 403
    assert call("PUT", put.replace("a%20b", "c"), b"x") == 403
    assert call("PUT", put[:-1] + ("0" if put[-1] != "0" else "1"), b"x") == 403
    assert call("PUT", put.partition("?")[0], b"x") == 403
    assert run_fields(shared_server, "r", "fileCount") == {"fileCount": 0}
    assert call("PUT", put, b"bytes") == 200
    files = run_fields(shared_server, "r", "fileCount files { edges { node { name sizeBytes directUrl } } }")
    node = files["files"]["edges"][0]["node"]
    assert (files["fileCount"], node["name"], node["sizeBytes"]) == (1, "deep/a b.txt", 5)
    with urllib.request.urlopen(node["directUrl"], timeout=10) as answer:
        assert answer.read() == b"bytes"


def test_file_names_that_leave_the_run_are_refused(shared_server: ServerProcess) -> None:
    begin_run(shared_server, "r")
    for name in ("../outside", "/etc/passwd", "a/../../b", "..", ""):
        body = {"query": CREATE_FILES, "variables": {"files": [name]}}
        status, answer = post(shared_server, "/graphql", body)
        assert status == 400 and "not a path inside" in answer["errors"][0]["message"], name


def test_malformed_requests_are_refused_with_400_and_change_nothing(shared_server: ServerProcess) -> None:
    begin_run(shared_server, "r")
    good = json.dumps({"_step": 0})
    for files in (
        {"wandb-history.jsonl": {"offset": 0, "content": [good, "{broken"]}},
        {"wandb-history.jsonl": {"offset": -1, "content": [good]}},
        {"wandb-history.jsonl": {"offset": 0, "content": good}},
        {"wandb-history.jsonl": {"offset": 0, "content": [good]}, "wandb-summary.json": {"content": ["[1]"]}},
        {"wandb-history.jsonl": [good]},
    ):
        assert stream(shared_server, "r", {"files": files})[0] == 400, files
    assert stream(shared_server, "r", b"no json")[0] == 400
    assert stream(shared_server, "r", b"no gzip", **{"Content-Encoding": "gzip"})[0] == 400
    assert stream(shared_server, "missing", {})[0] == 410
    for body in (
        b"{",
        {"query": "{ viewer {"},
        {"query": 1},
        [],
        {"query": "{ viewer { id } }", "variables": 1},
    ):
        assert post(shared_server, "/graphql", body)[0] == 400, body
    assert run_fields(shared_server, "r", "historyLineCount") == {"historyLineCount": 0}


def test_gzip_bodies_are_understood(shared_server: ServerProcess) -> None:
    begin_run(shared_server, "r")
    body = json.dumps({"files": {"wandb-history.jsonl": {"content": ['{"_step": 0}']}}}).encode()
    assert stream(shared_server, "r", gzip.compress(body), **{"Content-Encoding": "gzip"})[0] == 200
    assert run_fields(shared_server, "r", "historyLineCount") == {"historyLineCount": 1}


def test_unknown_fields_types_and_arguments_are_left_out(shared_server: ServerProcess) -> None:
    query = """query Later($a: NeverHeard!, $b: [Other!] = []) { viewer { id entity shoeSize(unit: $a) }
        future { x } entity(name: "local", newArgument: $b) { name ... on Elsewhere { y } ...F } }
        fragment F on Nowhere { z }"""
    status, answer = post(shared_server, "/graphql", {"query": query, "variables": {"a": {"k": 1}}})
    assert status == 200 and answer["data"]["entity"] == {"name": "local"}
    assert answer["data"]["viewer"].keys() == {"id", "entity"}


def test_a_requested_stop_is_told_by_stream_and_query_and_decides_the_state(
    shared_server: ServerProcess,
) -> None:
    begin_run(shared_server, "r")
    assert stream(shared_server, "r", {}) == (200, {"stopped": False})
    run_id = run_fields(shared_server, "r", "id")["id"]
    for _ in range(2):
        answer = post(shared_server, "/graphql", {"query": STOP, "variables": {"id": run_id}})
        assert answer == (200, {"data": {"stopRun": {"success": True}}})
    assert stream(shared_server, "r", {}) == (200, {"stopped": True})
    assert post(shared_server, "/graphql", {"query": STOP_CHECK})[1]["data"]["project"]["run"] == {
        "state": "running",
        "stopped": False,
        "shouldStop": True,
        "stopReason": "stopped",
        "sweep": None,
    }
    assert stream(shared_server, "r", {"complete": True, "exitcode": 0})[0] == 200
    assert run_fields(shared_server, "r", "state stopped exitcode") == {
        "state": "killed",
        "stopped": True,
        "exitcode": 0,
    }
    begin_run(shared_server, "r")  # its next life is not stopped
    assert stream(shared_server, "r", {}) == (200, {"stopped": False})


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "transformer_e2e.server", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


def test_second_servers_end_with_a_reason(wandb_server: ServerProcess) -> None:
    same_root = serve("--root", str(wandb_server.root), "--port", "0")
    assert same_root.returncode == 2 and wandb_server.url in same_root.stderr
    same_port = serve("--root", str(wandb_server.home / "other"), "--port", str(wandb_server.port))
    assert same_port.returncode == 2 and f"--port={wandb_server.port}" in same_port.stderr
    assert "Traceback" not in same_root.stderr + same_port.stderr
    bad = serve("--root", str(wandb_server.home / "other"), "--port", "99999", "--heartbeat_timeout", "0")
    assert bad.returncode == 2 and "--port=99999" in bad.stderr and "--heartbeat_timeout=0" in bad.stderr
    assert post(wandb_server, "/graphql", {"query": "{ viewer { id } }"})[0] == 200


def test_sigterm_ends_cleanly_and_withdraws_the_address(wandb_server: ServerProcess) -> None:
    assert (wandb_server.root / "server.json").exists()
    connection = socket.create_connection(
        ("127.0.0.1", wandb_server.port)
    )  # an idle client does not hold it up
    started = time.monotonic()
    assert wandb_server.stop() == 0
    assert time.monotonic() - started < 8
    connection.close()
    assert not (wandb_server.root / "server.json").exists()
    assert "Traceback" not in wandb_server.log


def test_until_unused_ends_with_its_last_user(wandb_server: ServerProcess) -> None:
    wandb_server.stop()
    wandb_server.options = ("--until_unused",)
    wandb_server.start()
    assert wandb_server.process is not None
    users = [os.open(wandb_server.root / "users.lock", os.O_RDWR | os.O_CREAT) for _ in range(2)]
    for user in users:
        fcntl.flock(user, fcntl.LOCK_SH)
    time.sleep(2.5)
    os.close(users[0])
    time.sleep(2.5)
    assert wandb_server.process.poll() is None
    os.close(users[1])
    assert wandb_server.process.wait(timeout=60) == 0
