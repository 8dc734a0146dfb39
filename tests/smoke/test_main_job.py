"""The main job, whole: what `make sweep` runs, on this machine, and everything that it promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess, run_client
from tests.sweep_command import SweepCommand

AUDIT = """
import hashlib, json, pathlib, sys, tempfile, wandb
api, found = wandb.Api(), []
for run in api.sweep(sys.argv[1]).runs:
    artifacts = []
    for artifact in run.logged_artifacts():
        if artifact.type != "model":
            continue
        folder = pathlib.Path(artifact.download(root=tempfile.mkdtemp(), skip_cache=True))
        files = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
                 for p in folder.rglob("*") if p.is_file()}
        artifacts.append({"name": artifact.name, "files": files})
    found.append({"name": run.name, "state": run.state, "artifacts": artifacts})
print("AUDIT" + json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_quick_sweep_keeps_every_promise(tmp_path: Path) -> None:
    command = SweepCommand(tmp_path)
    spec = (REPOSITORY / "sweeps" / "quickstart.yaml").read_text()
    places = {
        "checkpoint_dir": "trials",
        "plot_dir": "pictures",
        "cache_dir": "cache",
        "log_file": "train.log",
    }
    for name, place in places.items():
        spec += f"  {name}: {{ value: {tmp_path / place} }}\n"
    (tmp_path / "quickstart.yaml").write_text(spec)
    code = command.start(str(tmp_path / "quickstart.yaml"), "--agents", "2").wait(1200)
    assert code == 0, command.output

    root = tmp_path / "trials"
    records = [json.loads(path.read_text()) for path in (root / "completion_tracking").glob("*.json")]
    outcomes = [record["outcome"] for record in records]
    assert len(records) == 8 and len({record["run_id"] for record in records}) == 8
    assert outcomes.count("pruned") >= 1 and outcomes.count("finished") >= 1
    assert not list(root.rglob("*.safetensors")), "weights are left on the disk"

    server = ServerProcess(tmp_path / "server", tmp_path / "home")  # the command's own has ended with it
    server.start()
    try:
        runs = json.loads(run_client(server, AUDIT, command.sweep()).partition("AUDIT")[2])
    finally:
        server.stop()
    assert sorted(run["name"] for run in runs) == sorted(record["run_id"] for record in records)
    by_name = {run["name"]: run for run in runs}
    for record in records:
        artifacts = by_name[record["run_id"]]["artifacts"]
        if record["outcome"] == "pruned":
            assert artifacts == []
        else:
            assert [artifact["files"] for artifact in artifacts] == [record["digests"]]

    best = min(records, key=lambda record: record["best_metric"])["metrics"]
    assert best["best/eval/bits_per_byte"] < best["yardstick/gzip"]
