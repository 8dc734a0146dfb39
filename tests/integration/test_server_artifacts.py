"""Artifacts with the unmodified W&B client against the embedded server."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.artifact_steps import blobs, md5_hex, versions
from tests.serving import ServerProcess, run_client

PRELUDE = """
import json, os, pathlib, subprocess, sys
import wandb

def artifact(name, files, type="model", **more):
    made = wandb.Artifact(name, type=type, **more)
    for path, text in files.items():
        with made.new_file(path) as file:
            file.write(text)
    return made

def text(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in pathlib.Path(folder).rglob("*") if p.is_file()}

def say(*values):
    print("SAYS", json.dumps(values))

def refused(action):
    try:
        action()
    except Exception as error:
        return str(error)
    return None
"""


def said(output: str) -> list[Any]:
    """What a script said, one list for each say()."""
    return [json.loads(line) for line in re.findall(r"^SAYS (.*)$", output, flags=re.MULTILINE)]


def client(server: ServerProcess, script: str, **env: str) -> list[Any]:
    return said(run_client(server, PRELUDE + script, **env))


def test_an_artifact_comes_back_byte_for_byte_with_all_that_was_said_of_it(
    wandb_server: ServerProcess,
) -> None:
    told, whole, part, lineage = client(
        wandb_server,
        """
with wandb.init(project="p") as run:
    made = artifact("m", {"a.txt": "hello", "sub/b.txt": ""}, metadata={"loss": 0.5}, description="a model")
    run.log_artifact(made, aliases=["best"], tags=["small"]).wait()
    say(made.version, sorted(made.aliases), made.tags, made.metadata, made.description,
        made.size, made.file_count)
with wandb.init(project="p") as user:
    used = user.use_artifact("m:best")
    here = text(used.download("here"))
    part = text(used.download("part", path_prefix="sub"))
    # Last: after one download past the cache, this process's client mixes up files that it takes from it.
    say(here, text(used.download("there", skip_cache=True)), used.state)
    say(part, used.get_entry("a.txt").download("here"))
    used.verify("there")
api = wandb.Api()
found = api.artifact("local/p/m:v0")
first, second = api.run(f"local/p/{run.id}"), api.run(f"local/p/{user.id}")
say([[a.name for a in r.logged_artifacts()] for r in (first, second)],
    [[a.name for a in r.used_artifacts()] for r in (first, second)],
    found.logged_by().id == run.id, [r.id for r in found.used_by()] == [user.id],
    [file.name for file in found.files()], [file.size for file in found.files()])
""",
    )
    assert told == ["v0", ["best", "latest"], ["small"], {"loss": 0.5}, "a model", 5, 2]
    files = {"a.txt": "hello", "sub/b.txt": ""}
    assert whole == [files, files, "COMMITTED"]
    assert part == [{"sub/b.txt": ""}, "here/a.txt"]
    assert lineage == [[["m:v0"], []], [[], ["m:v0"]], True, True, ["a.txt", "sub/b.txt"], [5, 0]]


def test_new_content_is_a_new_version_and_only_that_is_stored(wandb_server: ServerProcess) -> None:
    kept, found = client(
        wandb_server,
        """
with wandb.init(project="p") as run:
    names = []
    for words in ("one", "two", "two", "one"):
        names.append(run.log_artifact(artifact("m", {"same": "unchanged", "own": words})).wait().version)
    say(names)
api = wandb.Api()
say([(a.name, a.aliases) for a in api.artifacts("model", "local/p/m")],
    [t.name for t in api.artifact_types("p")], [c.name for c in api.artifact_collections("p", "model")],
    api.artifact_exists("local/p/m:v1"), api.artifact_exists("local/p/m:v2"),
    api.artifact_collection_exists("local/p/m", "model"),
    refused(lambda: api.artifact("local/p/m:nope")))
""",
    )
    assert kept == [["v0", "v1", "v1", "v0"]]
    *listed, missing = found
    assert listed == [[["m:v1", []], ["m:v0", ["latest"]]], ["model"], ["m"], True, False, True]
    assert "not found" in missing
    stored = {md5_hex(text) for text in (b"unchanged", b"one", b"two")}
    assert stored <= blobs(wandb_server)


def test_long_lists_arrive_whole_page_by_page(wandb_server: ServerProcess) -> None:
    listed, ordered = client(
        wandb_server,
        """
with wandb.init(project="p") as run:
    for name in ("b", "a", "c"):
        run.log_artifact(artifact(name, {"f": name}))
    for number in range(5):
        run.log_artifact(artifact("m", {f"file{n}": str(n) for n in range(number + 1)})).wait()
api = wandb.Api()
shelves = lambda filters, order=None: api.project("p").collections(filters=filters, order=order)
say([a.name for a in api.artifacts("model", "local/p/m", per_page=2)],
    sorted(c.name for c in api.artifact_collections("p", "model", per_page=1)),
    [file.name for file in api.artifact("local/p/m:v4").files(per_page=2)],
    text(api.artifact("local/p/m:v4").download("pages")))
say([c.name for c in api.artifact_collections("p", "model", order="+name")],
    [a.name for a in api.artifacts("model", "local/p/m", order="-size")][:2],
    [c.name for c in shelves({"$or": [{"name": "a"}, {"name": {"$regex": "^m"}}]}, "+name")],
    refused(lambda: list(shelves({"size": 3}))))
""",
        WANDB_ARTIFACT_FETCH_FILE_URL_BATCH_SIZE="2",
    )
    names = [f"file{number}" for number in range(5)]
    assert listed == [
        [f"m:v{number}" for number in (4, 3, 2, 1, 0)],
        ["a", "b", "c", "m"],
        names,
        {name: name[-1] for name in names},
    ]
    assert ordered[:3] == [["a", "b", "c", "m"], ["m:v4", "m:v3"], ["a", "m"]]
    assert "'size' is not something" in ordered[3]


def test_models_are_logged_linked_and_used_by_name(wandb_server: ServerProcess) -> None:
    told, used, shelf = client(
        wandb_server,
        """
pathlib.Path("weights").mkdir()
for name in ("config", "weights"):
    pathlib.Path("weights", name).write_text(name * 1000)
with wandb.init(project="p") as run:
    run.log_model("weights", name="net", aliases=["champion"])
    run.link_model("weights", "shelf", name="net")
with wandb.init(project="p") as run:
    say(text(run.use_model("net:champion")))
    mine = run.use_artifact(artifact("mine", {"a": "A"}))
    say(mine.state, [a.name for a in wandb.Api().run(f"local/p/{run.id}").used_artifacts()])
    shelf = wandb.Api().artifact("local/model-registry/shelf:latest")
    say(shelf.is_link, shelf.source_name)
""",
    )
    assert told == [{"config": "config" * 1000, "weights": "weights" * 1000}]
    assert used == ["COMMITTED", ["net:v0", "mine:v0"]]
    assert shelf == [True, "net:v0"]


def test_drafts_references_and_links_hold_what_they_name(wandb_server: ServerProcess) -> None:
    draft, added, pointing, table, link = client(
        wandb_server,
        """
with wandb.init(project="p") as run:
    base = run.log_artifact(artifact("m", {"a": "A", "b": "B"})).wait()
    draft = base.new_draft(); draft.remove("a")
    with draft.new_file("c") as file: file.write("C")
    run.log_artifact(draft).wait()
    say(draft.version, text(wandb.Api().artifact("local/p/m:v1").download("d1")))
    run.log_artifact(artifact("m", {"d": "D"}, incremental=True)).wait()
    say(text(wandb.Api().artifact("local/p/m:latest").download("d2")))

    pathlib.Path("near").write_text("near"); uri = pathlib.Path("near").resolve().as_uri()
    refs = wandb.Artifact("refs", type="data"); refs.add_reference(uri, name="file")
    refs.add_reference("http://127.0.0.1:9/x", name="web", checksum=False)
    refs.add_reference(base.get_entry("a"), name="other")
    run.log_artifact(refs).wait(); again = wandb.Api().artifact("local/p/refs:v0")
    say({name: bool(entry.ref) for name, entry in again.manifest.entries.items()},
        *[open(again.get_entry(name).download("d3")).read() for name in ("file", "other")])

    rows = wandb.Table(columns=["n"], data=[[1], [2]])
    first, second = artifact("t1", {}), artifact("t2", {})
    first.add(rows, "rows"); run.log_artifact(first)
    second.add(rows, "rows"); run.log_artifact(second).wait()
    say(wandb.Api().artifact("local/p/t2:v0").get("rows").data)

    linked = base.link("local/shelf/best", aliases=["prod"])
    out = [linked.name, sorted(linked.aliases), linked.is_link, linked.source_name, linked.collection.type]
    out += [text(wandb.Api().artifact("local/shelf/best:prod").download("d4"))]
    linked.unlink()
    out += [wandb.Api().artifact_exists("local/shelf/best:prod"), wandb.Api().artifact_exists("local/p/m:v0")]
    say(*out)
""",
    )
    assert draft == ["v1", {"b": "B", "c": "C"}]
    assert added == [{"b": "B", "c": "C", "d": "D"}]
    assert pointing == [{"file": True, "web": True, "other": True}, "near", "A"]
    assert table == [[[1], [2]]]
    assert link == [
        *("best:v0", ["latest", "prod"], True, "m:v0", "model"),
        *({"a": "A", "b": "B"}, False, True),
    ]


def test_what_is_edited_is_what_is_read(wandb_server: ServerProcess) -> None:
    artifact, renamed, wrong = client(
        wandb_server,
        """
with wandb.init(project="p") as run:
    run.log_artifact(artifact("m", {"a": "A"}, metadata={"x": 1}), aliases=["old"], tags=["t"]).wait()
    wrong = refused(lambda: run.log_artifact(artifact("m", {"a": "other"}, type="data")).wait())
edited = wandb.Api().artifact("local/p/m:old")
edited.description = "new"; edited.metadata["y"] = 2
edited.aliases.append("new"); edited.aliases.remove("old"); edited.tags = ["u"]; edited.save()
read = wandb.Api().artifact("local/p/m:new")
say(read.description, read.metadata, sorted(read.aliases), read.tags,
    wandb.Api().artifact_exists("local/p/m:old"))
shelf = wandb.Api().artifact_collection("model", "local/p/m")
shelf.description = "mine"; shelf.name = "n"; shelf.tags = ["c"]; shelf.type = "net"; shelf.save()
shelf = wandb.Api().artifact_collection("net", "local/p/n")
say(shelf.description, shelf.tags, sorted(shelf.aliases), [a.name for a in shelf.artifacts()],
    wandb.Api().artifact_exists("local/p/m:v0"))
say(wrong)
""",
    )
    assert artifact == ["new", {"x": 1, "y": 2}, ["latest", "new"], ["u"], False]
    assert renamed == ["mine", ["c"], ["latest", "new"], ["n:v0"], False]
    assert "already exists with type 'model'" in wrong[0]


def test_deletion_frees_what_nothing_else_holds(wandb_server: ServerProcess) -> None:
    held, freed, emptied = client(
        wandb_server,
        """
with wandb.init(project="p") as run:
    for words in ("one", "two"):
        run.log_artifact(artifact("m", {"shared": "both", "own": words})).wait()
api = wandb.Api()
doomed = api.artifact("local/p/m:v1")
say(refused(lambda: doomed.delete()), api.artifact_exists("local/p/m:v1"))
doomed.delete(delete_aliases=True)
left = wandb.Api().artifact("local/p/m:latest")
say(api.artifact_exists("local/p/m:v1"), text(left.download("left", skip_cache=True)))
with wandb.init(project="p") as run:
    say(run.log_artifact(artifact("m", {"shared": "both", "own": "three"})).wait().version)
""",
    )
    assert "latest" in held[0] and held[1] is True
    assert freed == [False, {"shared": "both", "own": "one"}]
    assert emptied == ["v2"]
    stored = blobs(wandb_server)
    assert {md5_hex(b"both"), md5_hex(b"one"), md5_hex(b"three")} <= stored
    assert md5_hex(b"two") not in stored
    client(wandb_server, 'wandb.Api().artifact_collection("model", "local/p/m").delete()')
    assert not blobs(wandb_server) & {md5_hex(text) for text in (b"both", b"one", b"three")}


def test_an_offline_artifact_arrives_by_wandb_sync(wandb_server: ServerProcess) -> None:
    client(
        wandb_server,
        """
with wandb.init(project="off") as run:
    run.log_artifact(artifact("m", {"a": "made offline"}), aliases=["later"])
""",
        WANDB_MODE="offline",
    )
    assert versions(wandb_server, project="off") == []
    (told,) = client(
        wandb_server,
        """
folder = next(pathlib.Path("wandb").glob("offline-run-*"))
code = subprocess.run(["wandb", "sync", str(folder)], capture_output=True).returncode
found = wandb.Api().artifact("local/off/m:later")
say(code, found.version, sorted(found.aliases), text(found.download("off")))
""",
    )
    assert told == [0, "v0", ["later", "latest"], {"a": "made offline"}]


def test_clients_that_log_at_once_get_different_versions(wandb_server: ServerProcess) -> None:
    script = """
with wandb.init(project="p") as run:
    say(*[run.log_artifact(artifact("m", {"a": sys.argv[1] + str(i)})).wait().version for i in range(3)])
"""
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda word: run_client(wandb_server, PRELUDE + script, word), ("x", "y")))
    given = sorted(
        version for output in outputs for version in json.loads(output.split("SAYS ")[1].split("\n")[0])
    )
    assert given == ["v0", "v1", "v2", "v3", "v4", "v5"]
    assert sorted(versions(wandb_server)) == given
