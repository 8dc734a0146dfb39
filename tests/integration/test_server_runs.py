"""Runs: what the unmodified W&B client logs is what its public API reads back."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ServerProcess, run_client

LOG = """
import sys, wandb
run = wandb.init(project="demo", id="first", name="pretty", config={"lr": 1e-3, "opt": {"kind": "adam"}},
                 tags=["a", "b"], notes="why", group="g", job_type="train")
for i in range(20):
    run.log({"loss": 1 / (i + 1), "nested": {"a": i}, "bad": float("nan"), "big": float("inf")})
print("said")
print("complained", file=sys.stderr)
open("weights.txt", "w").write("w" * 70000)
run.save("weights.txt", policy="now")
run.summary["best"] = 3
run.finish()
"""

READ = """
import json, wandb
api = wandb.Api()
run = api.run("local/demo/first")
file = run.file("weights.txt")
print(json.dumps({
    "state": run.state, "name": run.name, "config": run.config, "tags": sorted(run.tags), "notes": run.notes,
    "group": run.group, "job_type": run.job_type, "user": run.user.username,
    "best": run.summary["best"], "last": run.lastHistoryStep,
    "scanned": [[row["_step"], row["loss"], row["nested"]["a"]] for row in run.scan_history()],
    "page": [row["loss"] for row in run.scan_history(keys=["loss"], page_size=7)],
    "window": [row["_step"] for row in run.scan_history(min_step=5, max_step=8)],
    "nan": str(next(iter(run.scan_history()))["bad"]), "inf": str(next(iter(run.scan_history()))["big"]),
    "sampled": len(run.history(samples=5, pandas=False)),
    "keyed": run.history(keys=["nested.a"], pandas=False)[-1],
    "keys": sorted(run.history_keys["keys"]),
    "files": sorted(f.name for f in run.files()), "size": file.size,
    "like": [f.name for f in run.files(pattern="%.txt")],
    "content": len(file.download(root="down", replace=True).read()),
    "console": [line.content for line in run.console_logs(per_page=1)],
    "levels": [line.level for line in run.console_logs()],
    "tail": [line.content for line in run.console_logs(last=1)],
    "python": run.metadata["python"],
}))
"""


def test_everything_logged_is_read_back(shared_server: ServerProcess) -> None:
    run_client(shared_server, LOG)
    seen = json.loads(run_client(shared_server, READ))

    assert seen["state"] == "finished" and seen["name"] == "pretty" and seen["user"] == "local"
    assert seen["config"] == {"lr": 1e-3, "opt": {"kind": "adam"}}
    assert (seen["tags"], seen["notes"], seen["group"], seen["job_type"]) == (["a", "b"], "why", "g", "train")
    assert seen["best"] == 3 and seen["last"] == 19
    assert seen["scanned"] == [[i, 1 / (i + 1), i] for i in range(20)]
    assert seen["page"] == [1 / (i + 1) for i in range(20)]
    assert seen["window"] == [5, 6, 7]
    assert (seen["nan"], seen["inf"]) == ("nan", "inf")
    assert seen["sampled"] == 5
    assert seen["keyed"] == {"_step": 19, "nested.a": 19}
    assert {"loss", "nested.a", "_step", "bad"} <= set(seen["keys"]) and "nested" not in seen["keys"]
    standard = {"config.yaml", "wandb-metadata.json", "wandb-summary.json", "requirements.txt", "output.log"}
    assert standard | {"weights.txt"} == set(seen["files"])
    assert seen["size"] == seen["content"] == 70000
    assert seen["like"] == ["requirements.txt", "weights.txt"]
    assert "said" in seen["console"] and "complained" in seen["console"]
    assert seen["levels"][seen["console"].index("complained")] == "error"
    assert seen["levels"][seen["console"].index("said")] == ""
    assert seen["tail"] == seen["console"][-1:]
    assert seen["python"] == f"CPython {platform.python_version()}"


RESUME = """
import wandb
def resume(mode, run_id, value):
    try:
        run = wandb.init(project="demo", id=run_id, resume=mode)
    except wandb.errors.UsageError:
        return "refused"
    found = (run.starting_step, run.config.get("kept"))
    run.config.update({"kept": value}, allow_val_change=True)
    run.log({"value": value})
    run.finish()
    return found
assert resume("allow", "kept", 1) == (0, None)
assert resume("allow", "kept", 3) == (1, 1)
assert resume("must", "kept", 4) == (2, 3)
assert resume("never", "new", 5) == (0, None)
run = wandb.Api().run("local/demo/kept")
assert [(row["_step"], row["value"]) for row in run.scan_history()] == [(0, 1), (1, 3), (2, 4)]
assert (run.state, run.config) == ("finished", {"kept": 4}), (run.state, run.config)
assert resume("must", "missing", 1) == "refused"  # last: a refused id stays "in use" in this process
assert resume("never", "kept", 2) == "refused"
"""


def test_resume_modes_continue_or_refuse(shared_server: ServerProcess) -> None:
    run_client(shared_server, RESUME)


OVERWRITE = """
import wandb
for kept, rows in [("old", 9), ("new", 2)]:
    with wandb.init(project="demo", id="again", config={kept: 1}) as run:
        for i in range(rows):
            run.log({"value": i})
        print("output of", kept)
run = wandb.Api().run("local/demo/again")
assert [(row["_step"], row["value"]) for row in run.scan_history()] == [(0, 0), (1, 1)]
assert run.config == {"new": 1}, run.config
console = [line.content for line in run.console_logs()]
assert "output of new" in console and "output of old" not in console, console
"""


def test_fresh_init_of_a_used_id_overwrites_it(shared_server: ServerProcess) -> None:
    run_client(shared_server, OVERWRITE)


FINISH = """
import wandb
def end(name, exit_code, before_end=lambda run: None):
    run = wandb.init(project="demo", id=name)
    before_end(run)
    assert wandb.Api().run("local/demo/" + name).state == "running"
    run.finish(exit_code=exit_code)
    return wandb.Api().run("local/demo/" + name).state
assert end("a", 0) == "finished"
assert end("b", 3) == "failed"
assert end("c", 0, lambda run: wandb.Api().run("local/demo/c").stop()) == "killed"
run = wandb.init(project="demo", id="d")
run.mark_preempting()
run.finish(exit_code=1)
assert wandb.Api().run("local/demo/d").state == "preempted"
run = wandb.init(project="demo", id="d", resume="must")
assert wandb.Api().run("local/demo/d").state == "running"
run.finish(exit_code=1)
assert wandb.Api().run("local/demo/d").state == "failed"
"""


def test_end_states_follow_intent_first_and_exit_code_last(shared_server: ServerProcess) -> None:
    run_client(shared_server, FINISH)


QUERY = """
import json, wandb
for i, (lr, loss) in enumerate([(0.1, 3.0), (0.01, 1.0), (0.001, 2.0)]):
    with wandb.init(project="many", id=f"r{i}", config={"lr": lr, "deep": {"x": i}}, tags=[f"t{i}"]) as run:
        run.log({"eval/loss": loss, "nested": {"value": -i}})
api = wandb.Api()
def names(**query):
    return [run.id for run in api.runs("local/many", **query)]
print(json.dumps({
    "default": names(),
    "newest": names(order="-created_at"),
    "best": names(order="+summary_metrics.eval/loss"),
    "worst": names(order="-summary_metrics.eval/loss"),
    "config": names(filters={"config.lr": {"$lt": 0.05}}),
    "value": names(filters={"config.lr.value": 0.1}),
    "deep": names(filters={"config.deep.x": 2}),
    "nested": names(order="+summary_metrics.nested.value"),
    "and": names(filters={"$and": [{"state": "finished"}, {"tags": {"$in": ["t1", "t2"]}}]}),
    "or": names(filters={"$or": [{"display_name": "nobody"}, {"name": "r0"}]}),
    "summary": names(filters={"summary_metrics.eval/loss": {"$gte": 2}}),
    "none": names(filters={"state": "crashed"}),
    "paged": names(per_page=1),
    "length": len(api.runs("local/many", filters={"config.lr": {"$lt": 0.05}})),
}))
"""


def test_runs_are_filtered_and_ordered(shared_server: ServerProcess) -> None:
    assert json.loads(run_client(shared_server, QUERY)) == {
        "default": ["r0", "r1", "r2"],
        "newest": ["r2", "r1", "r0"],
        "best": ["r1", "r2", "r0"],
        "worst": ["r0", "r2", "r1"],
        "config": ["r1", "r2"],
        "value": ["r0"],
        "deep": ["r2"],
        "nested": ["r2", "r1", "r0"],
        "and": ["r1", "r2"],
        "or": ["r0"],
        "summary": ["r0", "r2"],
        "none": [],
        "paged": ["r0", "r1", "r2"],
        "length": 2,
    }


EDIT = """
import json, wandb
api = wandb.Api()
api.create_project("made", "local")
with wandb.init(project="demo", id="edited", config={"a": 1}) as run:
    run.log({"value": 1})
run = api.run("local/demo/edited")
run.config["a"] = 2
run.tags.append("later")
run.display_name = "renamed"
run.update()
run.summary["extra"] = 5
run.summary.update()
open("note.txt", "w").write("text")
run.upload_file("note.txt")
run = wandb.Api().run("local/demo/edited")
seen = {"config": run.config, "tags": run.tags, "name": run.name, "state": run.state,
        "extra": run.summary["extra"], "value": run.summary["value"],
        "note": run.file("note.txt").download(root="down", replace=True).read()}
run.file("note.txt").delete()
seen["files"] = [file.name for file in run.files(["note.txt"])]
seen["projects"] = sorted({"demo", "made"} & {project.name for project in api.projects("local")})
pending = wandb.apis.public.Run.create(api, run_id="later", project="demo", entity="local", state="pending")
seen["pending"] = wandb.Api().run("local/demo/later").state
later = wandb.Api().run("local/demo/later")
assert later.update_state("failed")
seen["updated"] = wandb.Api().run("local/demo/later").state
run.delete()
try:
    wandb.Api().run("local/demo/edited")
except Exception as error:
    seen["deleted"] = "Could not find run" in str(error)
print(json.dumps(seen))
"""


def test_public_api_edits_uploads_and_deletes(shared_server: ServerProcess) -> None:
    assert json.loads(run_client(shared_server, EDIT)) == {
        "config": {"a": 2},
        "tags": ["later"],
        "name": "renamed",
        "state": "finished",
        "extra": 5,
        "value": 1,
        "note": "text",
        "files": [],
        "projects": ["demo", "made"],
        "pending": "pending",
        "updated": "failed",
        "deleted": True,
    }


def test_login_accepts_the_right_key_and_refuses_a_wrong_one(shared_server: ServerProcess) -> None:
    env = {name: value for name, value in shared_server.env.items() if name != "WANDB_API_KEY"}

    def login(key: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wandb", "login", "--host", shared_server.url, key]
        return subprocess.run(
            command, env=env, cwd=shared_server.home, capture_output=True, text=True, timeout=240
        )

    refused = login("0" * 40)
    assert refused.returncode != 0, refused.stderr
    assert not Path(env["NETRC"]).exists()
    accepted = login(shared_server.api_key)
    assert accepted.returncode == 0, accepted.stderr
    assert shared_server.api_key in Path(env["NETRC"]).read_text()


def test_init_with_a_wrong_key_fails_at_once(shared_server: ServerProcess) -> None:
    script = """
import wandb
try:
    wandb.init(project="demo")
except Exception as error:
    print(type(error).__name__)
"""
    less_than_it_waits_for_an_answer = 80
    said = run_client(shared_server, script, WANDB_API_KEY="0" * 40, timeout=less_than_it_waits_for_an_answer)
    assert said.splitlines()[0] in ("AuthenticationError", "CommError")


def test_offline_run_is_synced_whole(shared_server: ServerProcess) -> None:
    run_client(shared_server, LOG, WANDB_MODE="offline")
    folder = next((shared_server.home / "wandb").glob("offline-run-*"))
    command = [sys.executable, "-m", "wandb", "sync", str(folder)]
    subprocess.run(
        command, env=shared_server.env, cwd=shared_server.home, check=True, capture_output=True, timeout=240
    )
    seen = json.loads(run_client(shared_server, READ))
    assert seen["scanned"] == [[i, 1 / (i + 1), i] for i in range(20)]
    assert seen["state"] == "finished" and seen["size"] == 70000


STOPPABLE = """
import time, wandb
run = wandb.init(project="demo", id="stoppable")
wandb.Api().run("local/demo/stoppable").stop()
try:
    time.sleep(75)
except KeyboardInterrupt:
    print("interrupted")
run.finish(exit_code=0)
print(wandb.Api().run("local/demo/stoppable").state)
"""


@pytest.mark.slow
def test_a_stop_reaches_a_program_that_knows_nothing_of_it(shared_server: ServerProcess) -> None:
    """The client looks every 15 s; the interrupt is its own, raised in the program's main thread."""
    assert run_client(shared_server, STOPPABLE).splitlines() == ["interrupted", "killed"]
