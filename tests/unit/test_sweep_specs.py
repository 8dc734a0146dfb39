"""The sweep files that come with the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from transformer_e2e.config.settings import GROUPS
from transformer_e2e.data.table_sources import DEFAULTS as OWN_DATA
from transformer_e2e.hf.parser import TrialArgumentParser, merge
from transformer_e2e.launch.spec import load_spec, metric_of, searched
from transformer_e2e.search.observation import Observation
from transformer_e2e.search.size import point_count
from transformer_e2e.search.spec import warnings
from transformer_e2e.search.suggest import suggest

FOLDER = Path(__file__).parents[2] / "sweeps"
OFFLINE = FOLDER / "offline"
HF_SPECS = sorted(FOLDER.glob("hf_*.yaml"))
SPECS = sorted(set(FOLDER.glob("*.yaml")) - set(HF_SPECS))
SETTINGS = {name for group in GROUPS.values() for name in group.__dataclass_fields__}
HF_TRIALS = {  # what the file's trials are without its offline file, and how many
    "hf_mlm_bayes": ("mlm", "bert-base-uncased", "KrisMinchev/wikitext-2-raw-v1", 10),
    "hf_classification_random": ("classification", "bert-base-uncased", "stanfordnlp/sst2", 12),
    "hf_scicite_random_hyperband": (
        "classification",
        "allenai/scibert_scivocab_uncased",
        "allenai/scicite",
        16,
    ),
    "hf_bloom_squad_grid": ("generative_qa", "bigscience/bloom-560m", "rajpurkar/squad", 12),
}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_spec_is_valid_ends_and_every_parameter_is_a_setting(path: Path):
    spec = load_spec(path)
    assert warnings(spec) == []
    assert set(spec["parameters"]) <= SETTINGS
    assert point_count(spec) is not None
    assert metric_of(spec) == ("eval/loss", "minimize")


def first_trial(spec: dict[str, Any]) -> dict[str, Any]:
    """The settings of its first trial, as the program reads its command."""
    issued = suggest(spec, [], seed=spec.get("seed", 0))
    words = spec["command"][spec["command"].index("${program}") + 1 :]
    flags = [f"--{name}={value}" for name, value in issued.items()]
    command = [text for word in words for text in (flags if word == "${args}" else [str(word)])]
    return merge(*TrialArgumentParser().read(command)).values


@pytest.mark.parametrize("path", HF_SPECS, ids=lambda path: path.name)
def test_a_hugging_face_spec_is_valid_and_its_trials_are_what_it_is_named_for(path: Path):
    spec = load_spec(path)  # refuses a parameter that is no flag, or a value that it does not take
    assert warnings(spec) == []
    values = first_trial(spec)
    found = tuple(values[name] for name in ("task", "model_name_or_path", "dataset_name"))
    assert (*found, point_count(spec)) == HF_TRIALS[path.stem]
    if stopping := spec.get("early_terminate"):
        epochs = spec["parameters"]["num_train_epochs"]["values"]
        assert values["eval_strategy"] == "epoch" and stopping["min_iter"] < min(epochs)


@pytest.mark.parametrize("path", HF_SPECS, ids=lambda path: path.name)
def test_the_documented_override_needs_no_hub_and_searches_the_same(path: Path):
    whole, offline = load_spec(path), load_spec(path, override=OFFLINE / path.name)
    values = first_trial(offline)
    assert values["model_name_or_path"] is None and values["dataset_name"] in OWN_DATA.values()
    assert searched(offline) == searched(whole)
    # The course's and BLOOM's values are given; classification from scratch learns nothing with a pretrained
    # model's learning rates.
    same = [name for name in searched(whole) if (name, values["task"]) != ("learning_rate", "classification")]
    assert [offline["parameters"][name] for name in same] == [whole["parameters"][name] for name in same]
    assert values["max_train_samples"] <= 2048 and warnings(offline) == []
    assert f"--override {(OFFLINE / path.name).relative_to(FOLDER.parent)}" in path.read_text()


def test_the_courses_spec_is_what_the_course_says():
    spec = load_spec(FOLDER / "hf_mlm_bayes.yaml")
    assert spec["method"] == "bayes" and metric_of(spec) == ("eval/loss", "minimize")
    assert {"${env}", "${interpreter}", "${program}", "${args}"} <= set(spec["command"])
    values = first_trial(spec)
    fixed = [values[name] for name in ("num_train_epochs", "per_device_train_batch_size", "block_size")]
    assert fixed == [3, 16, 128]
    rate = spec["parameters"]["learning_rate"]
    assert (rate["distribution"], rate["min"], rate["max"]) == ("uniform", 1e-5, 1e-4)
    assert spec["parameters"]["weight_decay"]["values"] == [0.001, 0.01, 0.1]


def test_the_grid_for_bloom_is_what_was_asked_for():
    spec = load_spec(FOLDER / "hf_bloom_squad_grid.yaml")
    searched_values = {name: spec["parameters"][name]["values"] for name in searched(spec)}
    assert searched_values == {"lr": [1e-5, 2e-4, 5e-6], "bs": [1, 2], "wd": [0.0, 0.01]}
    values = first_trial(spec)
    fixed = [values[name] for name in ("max_train_samples", "max_eval_samples", "max_seq_length")]
    assert fixed == [1000, 100, 512]
    assert values["fp16"] and values["num_train_epochs"] == 5
    assert json.loads(Path(values["deepspeed"]).read_text())["zero_optimization"] == {"stage": 2}


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
