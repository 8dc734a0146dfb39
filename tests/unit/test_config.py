"""Flags, environment and YAML become settings, or a message that names every problem."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest

from transformer_e2e.config.convert import KeepDefault, convert
from transformer_e2e.config.generation import GenerationSettings
from transformer_e2e.config.parse import Resolved, add_settings, resolve
from transformer_e2e.config.settings import GROUPS, Settings
from transformer_e2e.config.sweep_spec import sweep_spec
from transformer_e2e.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "transformer_e2e" / "configs" / "config.yml"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_RUN_PREFIX", "RUN_NAME", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)


def parse(*argv: str, config: Path | None = None) -> Resolved:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser)
    known, unknown = parser.parse_known_args(argv)
    return resolve(vars(known), unknown, config)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return path


def test_flags_win_over_environment_and_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, "RUN_NAME: file\nBATCH_SIZE: 4\nSEED: 7\n")
    assert parse(config=config).settings.run.run_name == "file"
    monkeypatch.setenv("RUN_NAME", "environment")
    assert parse(config=config).settings.run.run_name == "environment"
    resolved = parse("--run_name=flag", "--batch_size=8", config=config)
    assert (resolved.settings.run.run_name, resolved.settings.train.batch_size) == ("flag", 8)
    assert resolved.settings.train.seed == 7
    assert resolved.sources["batch_size"] == "flag"
    assert resolved.sources["seed"] == str(config)
    assert resolved.sources["dropout"] == "default"


@pytest.mark.parametrize("text", ["1e-5", "1.0e-5", "0.00001", "1E-05"])
def test_a_number_is_a_number_whichever_way_it_is_written(tmp_path: Path, text: str) -> None:
    assert parse(f"--learning_rate={text}").settings.train.learning_rate == 1e-5
    config = written(tmp_path, f"LEARNING_RATE: {text}\n")
    assert parse(config=config).settings.train.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--upload"], True),
        (["--upload=True"], True),
        (["--upload", "false"], False),
        (["--upload=0"], False),
        (["--no_upload"], False),
        (["--upload=None"], True),
        ([], True),
    ],
)
def test_a_boolean_is_accepted_in_every_form(arguments: list[str], expected: bool) -> None:
    assert parse(*arguments).settings.run.upload is expected


def test_none_clears_an_optional_setting_and_keeps_the_default_of_others() -> None:
    assert convert("None", str | None) is None
    assert convert("null", int | None) is None
    with pytest.raises(KeepDefault):
        convert("None", float)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(
            "--batch_size=0",
            "--learning_rte=1",
            "--dropout=1.5",
            "--model_dim=130",
            "--max_steps=abc",
            "--schedule=cosin",
        )
    text = str(caught.value)
    for part in (
        "--batch_size=0 must be at least 1",
        "unknown flag --learning_rte; did you mean --learning_rate?",
        "--dropout=1.5 must be less than 1",
        "the next width that works is 136",
        "--max_steps=abc (flag) takes a whole number",
        "did you mean cosine?",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("BATCHSIZE: 4\n", "unknown key BATCHSIZE; did you mean BATCH_SIZE?"),
        ("batch_size: 4\n", "unknown key batch_size; write it BATCH_SIZE"),
        ("BATCH_SIZE: [4, 8]\n", "takes one whole number, not a list"),
        ("BATCH_SIZE: 4.5\n", "takes a whole number; the nearest is 4"),
        ("BATCH_SIZE: true\n", "takes a whole number"),
        ("- 1\n", "must hold KEY: value lines"),
        ("A: [\n", "is not YAML"),
        ("BATCH_SIZE: 4\nBATCH_SIZE: 8\n", "BATCH_SIZE stands in lines 1 and 2; keep one of them"),
        ("HP_SEARCH_BATCHSIZE: [1]\n", "unknown key HP_SEARCH_BATCHSIZE; did you mean HP_SEARCH_BATCH_SIZE?"),
        ("WANDB_RUN_PREFIX: {solo: me}\n", "unknown entry solo; its entries are single and sweep"),
    ],
)
def test_a_bad_file_is_refused_with_what_works(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(config=written(tmp_path, text))
    assert part in str(caught.value)


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    written(tmp_path, "SEED: 1\n")
    with pytest.raises(ConfigError, match=r"did you mean .*config\.yml"):
        parse(config=tmp_path / "confg.yml")


def test_the_prefix_has_an_entry_for_a_single_run_and_one_for_a_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert parse(config=SHIPPED).settings.run.run_prefix == "single"
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    assert parse(config=SHIPPED).settings.run.run_prefix == "tune"


def test_the_shipped_config_holds_the_defaults() -> None:
    """Flags alone and the shipped file describe the same training."""
    assert parse(config=SHIPPED).settings.counted() == Settings().counted()


def test_the_shipped_config_names_every_setting() -> None:
    """As a key, or in a comment where the default is None or dangerous."""
    text = SHIPPED.read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+):", text, re.MULTILINE))
    assert {name.upper() for name in Settings().flat()} <= named


def test_the_shipped_config_of_generation_names_every_setting() -> None:
    text = SHIPPED.with_name("generate_config.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:# )?(?:WANDB_)?([A-Z][A-Z0-9_]+):", text, re.MULTILINE))
    assert {item.name.upper() for item in fields(GenerationSettings)} <= named


def test_every_setting_has_help_and_says_whether_it_counts() -> None:
    for group in GROUPS.values():
        for item in fields(group):
            assert item.metadata["help"] and "counts" in item.metadata, item.name


def test_search_keys_become_a_sweep_spec() -> None:
    resolved = parse(config=SHIPPED)
    names = resolved.settings.flat()
    spec = sweep_spec(resolved.search, names, config=SHIPPED, fixed={"max_steps": 5})
    assert spec["method"] == "random" and spec["run_cap"] == 6
    assert spec["parameters"]["batch_size"] == {"values": [4, 8]}
    assert spec["parameters"]["learning_rate"]["distribution"] == "log_uniform_values"
    assert "--max_steps=5" in spec["command"] and spec["command"][-1] == "${args}"


def test_the_prefix_shown_for_a_sweep_is_that_of_its_trials() -> None:
    assert resolve({}, [], SHIPPED, of_sweep=True).settings.run.run_prefix == "tune"
