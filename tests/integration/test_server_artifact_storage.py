"""Artifacts whose way to the server is disturbed: kills, damage, forged addresses, a full disk."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.artifact_steps import (
    DELETE,
    Upload,
    ask,
    blobs,
    graphql,
    md5_hex,
    request,
    versions,
)
from tests.serving import ServerProcess, run_client, start_client
from transformer_e2e.server import auth
from transformer_e2e.server.blobs import blob_path
from transformer_e2e.server.settings import ServerSettings


def settings_of(server: ServerProcess) -> ServerSettings:
    secret = (server.root / "url_secret").read_text().strip().encode()
    return ServerSettings(root=server.root, api_key=server.api_key, secret=secret)


def signed(server: ServerProcess, data: bytes, method: str) -> str:
    return auth.sign(blob_path(md5_hex(data)), method, settings_of(server), server.url)


def test_a_kill_after_any_step_leaves_no_version_and_after_the_last_the_whole(
    wandb_server: ServerProcess,
) -> None:
    upload = Upload(wandb_server, {"a": os.urandom(100_000), "b": b"small"})
    for step in (upload.announce, upload.ask_for_urls, upload.send_files, upload.send_manifest):
        step()
        wandb_server.restart()
        assert versions(wandb_server) == []
        step()  # the client did not get the answer and asks again
    assert upload.commit()[0] == 200
    wandb_server.restart()
    assert upload.commit()[0] == 200
    assert versions(wandb_server) == ["v0"]
    for data in upload.files.values():
        assert request("GET", signed(wandb_server, data, "GET")) == (200, data)


def test_a_kill_in_the_middle_of_a_commit_leaves_all_of_it_or_nothing(wandb_server: ServerProcess) -> None:
    upload = Upload(wandb_server, {f"file-{number}": b"same" for number in range(4000)})
    for step in (upload.announce, upload.ask_for_urls, upload.send_files, upload.send_manifest):
        step()
    delays = random.Random(1)
    for _ in range(4):
        committing = threading.Thread(target=_ignoring_the_kill, args=(upload,))
        committing.start()
        time.sleep(delays.uniform(0.0, 0.15))
        wandb_server.restart()
        committing.join()
        assert versions(wandb_server) in ([], ["v0"])
    assert upload.commit()[0] == 200
    answer = ask(wandb_server, "query A($id: ID!) { artifact(id: $id) { fileCount size } }", id=upload.key)
    assert answer["artifact"] == {"fileCount": 4000, "size": 16000}
    assert versions(wandb_server) == ["v0"]


def _ignoring_the_kill(upload: Upload) -> None:
    with contextlib.suppress(OSError):
        upload.commit()


def test_the_real_client_survives_kills_of_the_server_while_it_uploads(wandb_server: ServerProcess) -> None:
    script = """
import os, wandb
with wandb.init(project="p") as run:
    made = wandb.Artifact("m", type="model")
    for number in range(60):
        with made.new_file(f"f{number}", "wb") as file: file.write(os.urandom(200_000))
    print("STARTS", flush=True)
    run.log_artifact(made).wait()
    made.verify(made.download("back"))
    print(made.version)
"""
    client = start_client(wandb_server, script)
    assert client.stdout is not None
    for line in client.stdout:
        if line.startswith("STARTS"):
            break
    for pause in (0.1, 0.3):
        time.sleep(pause)
        wandb_server.restart()
    output, errors = client.communicate(timeout=240)
    assert client.returncode == 0, errors + wandb_server.log
    assert output.split()[-1] == "v0"
    assert versions(wandb_server) == ["v0"]


def test_a_commit_that_names_content_which_is_not_stored_is_refused(wandb_server: ServerProcess) -> None:
    upload = Upload(wandb_server, {"here": b"here", "gone": b"gone"})
    upload.announce()
    upload.ask_for_urls()
    status, answer = upload.commit()
    assert (status, "no manifest" in answer["errors"][0]["message"]) == (400, True)
    upload.send_manifest()
    upload.urls.pop("gone")
    upload.send_files()
    status, answer = upload.commit()
    assert (status, "1 of 2 files" in answer["errors"][0]["message"]) == (400, True)
    assert versions(wandb_server) == []
    upload.ask_for_urls()
    upload.send_files()
    assert upload.commit()[0] == 200
    assert versions(wandb_server) == ["v0"]


def test_a_manifest_whose_names_leave_the_download_folder_is_refused(wandb_server: ServerProcess) -> None:
    for number, name in enumerate(["../outside", "/etc/passwd", "a/../../b", ""]):
        upload = Upload(wandb_server, {name: b"x"}, client_id=str(number))
        for step in (upload.announce, upload.ask_for_urls, upload.send_files, upload.send_manifest):
            step()
        assert upload.commit()[0] == 400
    assert versions(wandb_server) == []


def test_content_another_upload_counts_on_outlives_the_deletion_of_its_artifact(
    wandb_server: ServerProcess,
) -> None:
    first = Upload(wandb_server, {"a": b"shared", "b": b"only in the first"}, client_id="1")
    first.all()
    second = Upload(wandb_server, {"a": b"shared"}, name="other", client_id="2")
    second.announce()
    second.ask_for_urls()
    assert second.urls == {"a": None}  # told that it need not be sent
    ask(wandb_server, DELETE, input={"artifactID": first.key, "deleteAliases": True})
    assert md5_hex(b"only in the first") not in blobs(wandb_server)
    second.send_manifest()
    assert second.commit()[0] == 200
    assert request("GET", signed(wandb_server, b"shared", "GET")) == (200, b"shared")
    ask(wandb_server, DELETE, input={"artifactID": second.key, "deleteAliases": True})
    ask(wandb_server, DELETE, input={"artifactID": second.key, "deleteAliases": True})  # again: no error
    assert blobs(wandb_server) == set()


def test_a_start_frees_what_a_kill_left_without_a_name_and_nothing_else(wandb_server: ServerProcess) -> None:
    upload = Upload(wandb_server, {"a": b"kept", "b": b"announced"})
    upload.all()
    waiting = Upload(wandb_server, {"c": b"waiting"}, client_id="2")
    waiting.announce()
    waiting.ask_for_urls()
    waiting.send_files()
    run_client(wandb_server, "import wandb\nwith wandb.init(project='p') as r: r.log({'x': 1})")
    before = blobs(wandb_server)
    for orphan in (b"orphan 1", b"orphan 2"):
        assert request("PUT", signed(wandb_server, orphan, "PUT"), orphan)[0] == 200
    wandb_server.restart()
    assert blobs(wandb_server) == before
    assert {md5_hex(b"kept"), md5_hex(b"waiting")} <= before


def test_only_an_untouched_unexpired_address_gives_or_takes_a_blob(
    wandb_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, other = b"secret", b"other"
    put, get = signed(wandb_server, data, "PUT"), signed(wandb_server, data, "GET")
    assert request("PUT", put, data)[0] == 200
    assert request("GET", get) == (200, data)
    assert request("GET", get, Range="bytes=2-3") == (206, b"cr")
    assert request("HEAD", get) == (200, b"")
    plain = get.partition("?")[0]
    last = "0" if get[-1] != "0" else "1"
    for forged in (plain, get[:-1] + last, get.replace("expires=1", "expires=2"), put):
        assert request("GET", forged)[0] == 403
    assert request("PUT", get, data)[0] == 403
    assert request("PUT", put.replace(md5_hex(data), md5_hex(other)), other)[0] == 403
    monkeypatch.setattr(auth, "URL_LIFETIME", -1.0)
    assert request("GET", signed(wandb_server, data, "GET"))[0] == 403
    assert request("PUT", signed(wandb_server, other, "PUT"), other)[0] == 403
    assert blobs(wandb_server) == {md5_hex(data)}


def test_no_signed_address_leads_out_of_the_blobs(wandb_server: ServerProcess) -> None:
    for path in ("/blobs/../api_key", "/blobs/..%2Fapi_key", "/blobs/incoming", "/blobs/%2E%2E"):
        plain = path.replace("%2F", "/").replace("%2E", ".")
        query = auth.sign(plain, "GET", settings_of(wandb_server)).partition("?")[2]
        status, body = request("GET", f"{wandb_server.url}{path}?{query}")
        assert status in (400, 403, 404)
        assert wandb_server.api_key.encode() not in body


def test_an_expired_address_is_replaced_by_one_that_needs_the_api_key(wandb_server: ServerProcess) -> None:
    Upload(wandb_server, {"a": b"content"}).all()
    key = base64.b64encode(f"api:{wandb_server.api_key}".encode()).decode()
    birth = "QXJ0aWZhY3Q6MQ%3D%3D"
    for path in (
        f"/artifactsV2/default/local/p/m/{birth}/{md5_hex(b'content')}/a",
        f"/artifactsV2/default/local/p/m//{md5_hex(b'content')}/a",
        f"/artifacts/local/{md5_hex(b'content')}",
    ):
        assert request("GET", wandb_server.url + path, Authorization=f"Basic {key}") == (200, b"content")
        assert request("GET", wandb_server.url + path)[0] == 401


def test_another_origin_may_ask_what_is_allowed(wandb_server: ServerProcess) -> None:
    status, _ = request("OPTIONS", signed(wandb_server, b"x", "GET"), Origin="https://elsewhere.example")
    assert status == 200


def test_a_damaged_body_is_refused_and_leaves_nothing(wandb_server: ServerProcess) -> None:
    data = b"all of the body"
    url = signed(wandb_server, data, "PUT")
    for damaged in (data[:-1], data + b"x", data.upper(), b""):
        status, answer = request("PUT", url, damaged)
        assert (status, "damaged" in json.loads(answer)["errors"][0]["message"]) == (400, True)
    assert request("PUT", url, data, **{"Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="})[0] == 400
    assert blobs(wandb_server) == set()


def test_a_body_that_breaks_off_leaves_nothing(wandb_server: ServerProcess) -> None:
    data = os.urandom(5 << 20)
    parts = urlsplit(signed(wandb_server, data, "PUT"))
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", wandb_server.port)) as connection:
        connection.sendall(head.encode() + data[: 3 << 20])
    deadline = time.monotonic() + 60
    while blobs(wandb_server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert blobs(wandb_server) == set()
    assert request("PUT", f"{wandb_server.url}{parts.path}?{parts.query}", data)[0] == 200


def test_a_large_body_is_never_held_in_memory(wandb_server: ServerProcess, tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    path = tmp_path / "large"
    path.write_bytes(block * 96)
    before = _peak_memory(wandb_server)
    upload = Upload(wandb_server, {"large": path.read_bytes()})
    upload.all()
    assert request("GET", signed(wandb_server, upload.files["large"], "GET"))[1] == upload.files["large"]
    assert _peak_memory(wandb_server) - before < 48 << 20


def _peak_memory(server: ServerProcess) -> int:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.fixture
def full_disk(wandb_server: ServerProcess) -> Iterator[ServerProcess]:
    """A server none of whose files may grow beyond 2 MiB, as if its disk were full there."""
    assert wandb_server.process is not None
    resource.prlimit(wandb_server.process.pid, resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
    yield wandb_server


def test_a_full_disk_is_said_and_leaves_nothing_and_the_client_succeeds_once_there_is_room(
    full_disk: ServerProcess,
) -> None:
    data = os.urandom(3 << 20)
    status, answer = request("PUT", signed(full_disk, data, "PUT"), data)
    assert (status, "free some space" in json.loads(answer)["errors"][0]["message"]) == (503, True)
    assert "free some space" in full_disk.log
    assert "Traceback" not in full_disk.log
    assert blobs(full_disk) == set()
    script = """
import os, wandb
with wandb.init(project="p") as run:
    made = wandb.Artifact("m", type="model")
    with made.new_file("f", "wb") as file: file.write(os.urandom(3 << 20))
    print(run.log_artifact(made).wait().version)
"""
    told = full_disk.log.count("free some space")
    client = start_client(full_disk, script)
    while full_disk.log.count("free some space") == told and client.poll() is None:
        time.sleep(0.1)
    assert versions(full_disk) == []
    assert full_disk.process is not None
    resource.prlimit(
        full_disk.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    output, errors = client.communicate(timeout=240)
    assert (client.returncode, output.split()[-1:]) == (0, ["v0"]), errors + full_disk.log
    assert versions(full_disk) == ["v0"]


def test_an_unknown_artifact_is_refused_not_an_internal_error(wandb_server: ServerProcess) -> None:
    query = "mutation U($input: Any) { useArtifact(input: $input) { artifact { id } } }"
    for unknown in ("", "x", "QXJ0aWZhY3Q6OTk=", "UnVuOjE=", "QXJ0aWZhY3Q6eA==", 7, None):
        status, answer = graphql(wandb_server, query, input={"artifactID": unknown, "runName": "r"})
        assert status == 400
        assert "internal error" not in answer["errors"][0]["message"]
