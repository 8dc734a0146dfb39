"""`train --mode sweep`: the sweep that a config file describes, on the W&B that is configured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.serving import REPOSITORY, ServerProcess, run_client
from tests.training import TINY, Workplace


def test_the_search_keys_of_a_config_become_a_sweep_of_its_settings(
    wandb_server: ServerProcess, tmp_path: Path
) -> None:
    workplace = Workplace(tmp_path).prepare()
    settings = {**TINY, "tokenizer": "bytes", "max_steps": 4, "warmup_steps": 1, "eval_interval": 2}
    settings |= {"dataset": str(workplace.folder / "corpus.txt"), "wandb_run_prefix": {"sweep": "search"}}
    keys = {name.upper(): value for name, value in settings.items()}
    keys |= {"HP_SEARCH_METHOD": "grid", "HP_SEARCH_MODEL_DIM": [8, 16]}
    config = tmp_path / "config.yml"
    config.write_text(json.dumps(keys))  # JSON is YAML

    command = [sys.executable, "-m", "transformer_e2e.scripts.train", "--mode", "sweep"]
    done = subprocess.run(
        [*command, "--config", str(config), "--project", "keys", "--max_steps=2"],
        cwd=tmp_path,
        env={**wandb_server.env, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stdout
    assert "more machines can join" in done.stdout.split("trial ")[0]  # said while there is work to share
    assert "wandb agent --forward-signals local/keys/" in done.stdout
    records = [json.loads(path.read_text()) for path in tmp_path.glob("model_checkpoints/*/*_completed.json")]
    assert {record["counted"]["model_dim"] for record in records} == {8, 16}
    assert {record["counted"]["max_steps"] for record in records} == {2}  # the flag is for every trial
    assert all(record["run_id"].startswith("search_4_16_") for record in records)
    script = "import json, wandb; print(json.dumps([run.name for run in wandb.Api().runs('keys')]))"
    assert sorted(json.loads(run_client(wandb_server, script))) == sorted(r["run_id"] for r in records)
