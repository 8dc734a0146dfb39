"""The sweep files that come with the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from transformer_e2e.config.settings import GROUPS
from transformer_e2e.launch.spec import load_spec, metric_of
from transformer_e2e.search.observation import Observation
from transformer_e2e.search.size import point_count
from transformer_e2e.search.spec import warnings
from transformer_e2e.search.suggest import suggest

FOLDER = Path(__file__).parents[2] / "sweeps"
SPECS = sorted(FOLDER.glob("*.yaml"))
SETTINGS = {name for group in GROUPS.values() for name in group.__dataclass_fields__}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_spec_is_valid_ends_and_every_parameter_is_a_setting(path: Path):
    spec = load_spec(path)
    assert warnings(spec) == []
    assert set(spec["parameters"]) <= SETTINGS
    assert point_count(spec) is not None
    assert metric_of(spec) == ("eval/loss", "minimize")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_hyperband_can_stop_a_trial_of_the_spec(path: Path):
    spec = yaml.safe_load(path.read_text())
    if "early_terminate" in spec:
        evaluations = spec["parameters"]["max_steps"]["value"] // spec["parameters"]["eval_interval"]["value"]
        assert spec["early_terminate"]["min_iter"] < evaluations


def test_the_files_that_the_readme_names_are_there():
    names = {path.stem for path in SPECS}
    assert {"quickstart", "lm_grid", "lm_random_hyperband", "lm_bayes"} <= names


def test_the_folder_is_no_package_that_would_hide_one_of_that_name():
    assert not list(FOLDER.glob("*.py"))


def test_the_quickstart_tries_good_and_hopeless_learning_rates():
    spec = load_spec(FOLDER / "quickstart.yaml")
    before = [Observation(params={}, state="finished", value=None)] * spec["run_cap"]
    trials = [suggest(spec, before[:number], seed=spec["seed"]) for number in range(spec["run_cap"])]
    rates = [trial["learning_rate"] for trial in trials]
    assert sum(rate < 1e-3 for rate in rates) >= 2
    assert sum(4e-3 < rate < 4e-2 for rate in rates) >= 2
