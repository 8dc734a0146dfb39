"""The requests that a W&B client makes to log an artifact, one at a time: tests do harm between them."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from tests.serving import ServerProcess

CREATE = """mutation CreateArtifact($input: CreateArtifactInput!) {
  createArtifact(input: $input) { ... CreatedArtifact } }
fragment CreatedArtifact on CreateArtifactPayload {
  artifact { id state artifactSequence { latestArtifact { id } } } }"""
MANIFEST = """mutation CreateArtifactManifest($input: CreateArtifactManifestInput!) {
  createArtifactManifest(input: $input) { artifactManifest { id file { id uploadUrl uploadHeaders } } } }"""
FILES = """mutation CreateArtifactFiles($input: CreateArtifactFilesInput!) {
  createArtifactFiles(input: $input) {
    files { edges { node { storagePath uploadUrl artifact { id } } } } } }"""
COMMIT = """mutation CommitArtifact($artifactID: ID!) {
  commitArtifact(input: {artifactID: $artifactID}) { artifact { id digest state versionIndex } } }"""
DELETE = """mutation DeleteArtifact($input: DeleteArtifactInput!) {
  deleteArtifact(input: $input) { artifact { id } } }"""


def md5_hex(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def md5_base64(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def request(method: str, url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body, also of a refusal."""
    prepared = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(prepared, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def graphql(server: ServerProcess, query: str, **variables: Any) -> tuple[int, dict[str, Any]]:
    key = base64.b64encode(f"api:{server.api_key}".encode()).decode()
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
    status, answer = request("POST", f"{server.url}/graphql", body, **headers)
    return status, json.loads(answer)


def ask(server: ServerProcess, query: str, **variables: Any) -> dict[str, Any]:
    status, answer = graphql(server, query, **variables)
    assert status == 200, answer
    return answer["data"]


@dataclass
class Upload:
    """One artifact on its way to the server; each method is one step of the client's and may be repeated."""

    server: ServerProcess
    files: dict[str, bytes]
    name: str = "m"
    project: str = "p"
    client_id: str = "client-1"
    key: str = ""
    urls: dict[str, str | None] = field(default_factory=dict)

    @property
    def manifest(self) -> bytes:
        contents = {
            name: {"digest": md5_base64(data), "birthArtifactID": self.key, "size": len(data)}
            for name, data in self.files.items()
        }
        config = {"storageLayout": "V2"}
        return json.dumps(
            {"version": 1, "storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": config}
            | {"contents": contents}
        ).encode()

    def announce(self) -> str:
        """Returns the artifact's state."""
        named = {"entityName": "", "projectName": self.project, "artifactTypeName": "model"}
        content = {"digest": md5_hex(repr(sorted(self.files.items())).encode()), "clientID": self.client_id}
        rest = {"artifactCollectionNames": [self.name], "enableDigestDeduplication": True, "aliases": []}
        artifact = ask(self.server, CREATE, input=named | content | rest)["createArtifact"]["artifact"]
        self.key = artifact["id"]
        return artifact["state"]

    def ask_for_urls(self) -> None:
        wanted = [
            {"artifactID": self.key, "name": name, "md5": md5_base64(data)}
            for name, data in self.files.items()
        ]
        answer = ask(self.server, FILES, input={"artifactFiles": wanted, "storageLayout": "V2"})
        nodes = [edge["node"] for edge in answer["createArtifactFiles"]["files"]["edges"]]
        self.urls = {name: node["uploadUrl"] for name, node in zip(self.files, nodes, strict=True)}

    def send_files(self) -> None:
        """Each content once."""
        waiting = {self.files[name]: url for name, url in self.urls.items() if url is not None}
        for data, url in waiting.items():
            status, body = request("PUT", url, data)
            assert status == 200, body

    def send_manifest(self) -> None:
        said = {"artifactID": self.key, "digest": md5_base64(self.manifest), "type": "FULL"}
        answer = ask(self.server, MANIFEST, input=said)
        url = answer["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]
        status, body = request("PUT", url, self.manifest)
        assert status == 200, body

    def commit(self) -> tuple[int, dict[str, Any]]:
        return graphql(self.server, COMMIT, artifactID=self.key)

    def all(self) -> str:
        """Log it; returns its id."""
        for step in (self.announce, self.ask_for_urls, self.send_files, self.send_manifest):
            step()
        status, answer = self.commit()
        assert status == 200, answer
        return self.key


def versions(server: ServerProcess, name: str = "m", project: str = "p") -> list[str]:
    """The versions of a collection, newest first, as the public API lists them."""
    query = """query ProjectArtifacts($project: String!, $type: String!, $name: String!) {
      project(entityName: "local", name: $project) { artifactType(name: $type) {
        artifactCollection(name: $name) { artifacts(filters: "{\\"state\\": \\"COMMITTED\\"}") {
          edges { version node { id state fileCount } } } } } } }"""
    found = ask(server, query, project=project, type="model", name=name)["project"]
    collection = found and found["artifactType"] and found["artifactType"]["artifactCollection"]
    return [edge["version"] for edge in collection["artifacts"]["edges"]] if collection else []


def blobs(server: ServerProcess) -> set[str]:
    """MD5s of the stored blobs, and names of half-received ones."""
    return {path.name for path in (server.root / "blobs").rglob("*") if path.is_file()}
