"""Everything that the README tells people to type can at least be typed."""

from __future__ import annotations

import re
import subprocess
import sys

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


def test_the_operators_script_is_run_as_a_file() -> None:
    assert "examples:" in run("scripts/manage_completed_runs.py", "--help")


def test_print_config_is_a_config_file_again() -> None:
    import yaml

    shown = run("-m", "transformer_e2e.scripts.train", "--print_config", "--batch_size=3")
    assert yaml.safe_load(shown)["BATCH_SIZE"] == 3
    assert re.search(r"^BATCH_SIZE: 3 +# flag$", shown, re.M)


def test_the_readme_names_only_what_is_there() -> None:
    named = re.findall(r"(?:transformer_e2e/configs|sweeps|scripts)/[\w/.]+\.(?:ya?ml|py)", README)
    assert len(set(named)) >= 8
    assert [name for name in named if not (REPOSITORY / name).is_file()] == []
    modules = set(re.findall(r"python -m ([\w.]+)", README))
    assert modules <= set(MODULES)


def test_the_readme_makes_no_open_promise() -> None:
    assert "%" not in re.sub(r"\d ?%", "", README), "a figure is still to be measured"
