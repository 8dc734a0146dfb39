"""The sweep files of the Hugging Face program with their offline files: `wandb sweep`, `wandb agent`, W&B."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving import REPOSITORY, ServerProcess, clean_environment, run_client

pytestmark = pytest.mark.timeout(1800)

DOWNLOAD = """
import json, sys, wandb
folder = wandb.Api().artifact(sys.argv[1]).download()
best = wandb.Api().sweep(sys.argv[2]).best_run()
print(json.dumps([folder, best.name]))
"""
SECONDS = 1500.0


@dataclass(frozen=True)
class Place:
    """A folder to type commands in, as in the repository itself."""

    folder: Path

    def prepare(self) -> Place:
        for name in ("transformer_e2e", "sweeps"):
            (self.folder / name).symlink_to(REPOSITORY / name)
        return self

    def run(self, environment: Mapping[str, str], *words: str) -> str:
        """What the command says."""
        extensions = Path.home() / ".cache" / "torch_extensions"  # DeepSpeed's, compiled once a machine
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={"TORCH_EXTENSIONS_DIR": str(extensions), **environment, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        logs = "".join(path.read_text()[-3000:] for path in self.folder.glob("logs/*/agent-*.log"))
        assert done.returncode == 0, done.stdout + logs
        return done.stdout

    @property
    def records(self) -> list[dict[str, Any]]:
        found = self.folder.glob("model_checkpoints/completion_tracking/*_completed.json")
        return [json.loads(path.read_text()) for path in found]

    def best(self) -> dict[str, Any]:
        ended = [record for record in self.records if record["outcome"] == "finished"]
        sign = {"minimize": 1, "maximize": -1}[ended[0]["goal"]]
        return min(ended, key=lambda record: sign * record["best_metric"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path).prepare()


def assert_best_and_its_copy(place: Place, server: ServerProcess, sweep: str) -> None:
    """W&B finds the trial with the best metric, and hands out the very model that the best one left."""
    best = place.best()
    folder, name = json.loads(run_client(server, DOWNLOAD, best["artifact"], sweep))
    last = {record["run_id"]: record["metrics"][best["metric_name"]] for record in place.records}
    assert last[name] == (min if best["goal"] == "minimize" else max)(last.values())
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    digests = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    assert digests == best["digests"] and {"model.safetensors", "schema.json"} <= set(digests)


def documented(place: Place, name: str, home: Path) -> str:
    """What `scripts.sweep` with the offline file says, with no W&B configured."""
    home.mkdir()
    kept = {k: v for k, v in clean_environment(home).items() if k not in ("WANDB_DIR", "WANDB_CACHE_DIR")}
    command = ["-m", "transformer_e2e.scripts.sweep", f"sweeps/{name}.yaml"]
    return place.run(kept, sys.executable, *command, "--override", f"sweeps/offline/{name}.yaml")


def assert_documented_command_works(place: Place, name: str, trials: int, examples: int) -> None:
    said = documented(place, name, place.folder / "home")
    records = place.records
    assert len(records) == trials
    for record in records:
        pruned = record["outcome"] == "pruned"
        assert pruned or (record["outcome"], record["status"]) == ("finished", "cleaned")
        assert pruned or (record["artifact"] and record["digests"])
        assert record["measured_on"]["split"] == "validation"
        assert record["measured_on"]["examples"] == examples
    lines = said.splitlines()
    head = next(index for index, line in enumerate(lines) if line.split()[:2] == ["trial", "outcome"])
    assert {"data", "split", "examples", records[0]["metric_name"]} <= set(lines[head].split())
    best = place.best()
    table = lines[head + 1 : head + 1 + trials]
    assert table[0].split()[:2] == ["*", best["run_id"]]
    assert all(best["measured_on"]["name"] in line and " validation " in line for line in table)
    (sweep,) = [line.split()[1] for line in lines if line.startswith("sweep ")]
    assert f"evaluate --artifact {best['artifact']}" in said
    server = ServerProcess(place.folder / "wandb_server", place.folder / "home")
    server.start()
    try:
        assert_best_and_its_copy(place, server, sweep)
    finally:
        server.stop()


@pytest.mark.slow
def test_the_courses_sweep_by_the_two_bare_commands(place: Place, wandb_server: ServerProcess) -> None:
    env, name = wandb_server.env, "hf_mlm_bayes"
    command = ["-m", "transformer_e2e.scripts.sweep", f"sweeps/{name}.yaml", "--print_spec"]
    merged = place.run(env, sys.executable, *command, "--override", f"sweeps/offline/{name}.yaml")
    (place.folder / "mine.yaml").write_text(merged)
    created = place.run(env, "wandb", "sweep", "mine.yaml")
    (sweep,) = [line.split()[-1] for line in created.splitlines() if "wandb agent" in line]
    place.run(env, "wandb", "agent", sweep)
    records = place.records
    assert len(records) == yaml.safe_load(merged)["run_cap"]
    assert {record["status"] for record in records} == {"cleaned"}
    points = {
        tuple(record["counted"][name] for name in ("learning_rate", "weight_decay")) for record in records
    }
    assert len(points) == len(records)  # the end of a range is proposed more than once
    for record in records:
        assert 1e-5 <= record["counted"]["learning_rate"] <= 1e-4
        assert record["counted"]["weight_decay"] in (0.001, 0.01, 0.1)
        assert record["measured_on"] == {"name": "python-docs", "split": "validation", "examples": 64}
    assert_best_and_its_copy(place, wandb_server, sweep)


@pytest.mark.slow
def test_the_random_search_over_a_classification(place: Place) -> None:
    assert_documented_command_works(place, "hf_classification_random", trials=6, examples=128)


@pytest.mark.long
def test_the_random_search_with_hyperband(place: Place) -> None:
    assert_documented_command_works(place, "hf_scicite_random_hyperband", trials=6, examples=128)


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None,
    reason="on a CPU DeepSpeed compiles a part of itself, and there is no g++",
)
def test_the_grid_under_torchrun_and_deepspeed(place: Place) -> None:
    assert_documented_command_works(place, "hf_bloom_squad_grid", trials=12, examples=8)
    points = {
        tuple(record["counted"][name] for name in ("learning_rate", "train_batch_size", "weight_decay"))
        for record in place.records
    }
    assert points == {(lr, bs, wd) for lr in (1e-5, 2e-4, 5e-6) for bs in (1, 2) for wd in (0.0, 0.01)}
