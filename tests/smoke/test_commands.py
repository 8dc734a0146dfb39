"""Everything that the README tells people to type can at least be typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import REPOSITORY

MODULES = (
    "transformer_e2e.scripts.train",
    "transformer_e2e.scripts.train_hf",
    "transformer_e2e.scripts.generate",
    "transformer_e2e.scripts.evaluate",
    "transformer_e2e.scripts.infer",
    "transformer_e2e.scripts.sweep",
    "transformer_e2e.scripts.plot",
    "transformer_e2e.server",
    "benchmarks.train_speed",
    "benchmarks.target_loss",
    "benchmarks.checkpoint_cost",
    "benchmarks.search_quality",
    "benchmarks.list_records",
    "benchmarks.hf_baselines",
)
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def run(*arguments: str) -> str:
    answer = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return answer.stdout


@pytest.mark.parametrize("module", MODULES)
def test_help_has_an_example(module: str) -> None:
    shown = run("-m", module, "--help").lower()
    assert "example" in shown and f"python -m {module}" in shown


@pytest.mark.parametrize("module", MODULES)
def test_help_fits_a_hundred_columns(module: str) -> None:
    shown = run("-m", module, "--help").splitlines()
    assert [line for line in shown if len(line) > 100] == []


def test_the_operators_script_is_run_as_a_file() -> None:
    assert "examples:" in run("scripts/manage_completed_runs.py", "--help")


def test_print_config_is_a_config_file_again() -> None:
    import yaml

    shown = run("-m", "transformer_e2e.scripts.train", "--print_config", "--batch_size=3")
    assert yaml.safe_load(shown)["BATCH_SIZE"] == 3
    assert re.search(r"^BATCH_SIZE: 3 +# flag$", shown, re.M)
    config = "transformer_e2e/configs/config.yml"
    whole = run("-m", "transformer_e2e.scripts.train", "--print_config", "--config", config)
    keys = yaml.safe_load((REPOSITORY / config).read_text())
    searched = {key: value for key, value in keys.items() if key.startswith("HP_SEARCH_")}
    assert searched and searched.items() <= yaml.safe_load(whole).items()
    comments = {line.index("  # ") for line in whole.splitlines() if not line.startswith("HP_SEARCH_")}
    assert len(comments) == 1  # one column, or nobody can read it


def test_what_is_wrong_with_search_keys_is_said_of_the_config_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("HP_SEARCH_METHOD: grids\nHP_SEARCH_SEED: [1, 2]\n")
    command = [sys.executable, "-m", "transformer_e2e.scripts.train", "--mode", "sweep", "--config", config]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and "one of grid, random, bayes" in done.stderr
    assert f"the HP_SEARCH_ keys of {config}:" in done.stderr and "-sweep.yaml" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "transformer_e2e.scripts.train", "--print_config"],
        ["-m", "transformer_e2e.scripts.sweep", "sweeps/quickstart.yaml", "--print_spec"],
        ["scripts/manage_completed_runs.py", "--checkpoint_dir", "no such folder", "list"],
    ],
    ids=["train", "sweep", "manage"],
)
def test_a_reader_that_has_enough_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` does
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_readme_names_only_what_is_there() -> None:
    named = re.findall(r"(?:transformer_e2e/configs|sweeps|scripts)/[\w/.]+\.(?:ya?ml|py)", README)
    assert len(set(named)) >= 8
    assert [name for name in named if not (REPOSITORY / name).is_file()] == []
    modules = set(re.findall(r"python -m ([\w.]+)", README))
    assert modules <= set(MODULES)


def test_the_readme_makes_no_open_promise() -> None:
    assert "%" not in re.sub(r"\d ?%", "", README), "a figure is still to be measured"
