"""Run IDs: equal settings, equal ID; different settings, different ID; names that cannot leave the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from transformer_e2e.errors import ConfigError, UserError
from transformer_e2e.runs.config_file import check_config, keep_wandb_run_id, wandb_run_id
from transformer_e2e.runs.identity import check_name, find, readable_name, run_id

SETTINGS = {"learning_rate": 1e-3, "batch_size": 4, "context_window": 16, "schedule": "cosine", "tied": True}


def test_the_id_is_stable_across_versions_of_this_program() -> None:
    assert run_id(SETTINGS, readable="single_bs4_cw16_lr1e-03") == "single_bs4_cw16_lr1e-03-fb7d31625f1d"


@pytest.mark.parametrize(
    "same",
    [
        {**SETTINGS, "learning_rate": 0.001},
        {**SETTINGS, "batch_size": 4.0},
        dict(reversed(SETTINGS.items())),
    ],
)
def test_two_ways_of_writing_the_same_settings_share_an_id(same: dict[str, object]) -> None:
    assert run_id(same, readable="a") == run_id(SETTINGS, readable="a")


@pytest.mark.parametrize(
    "other",
    [
        {**SETTINGS, "learning_rate": 1.0000001e-3},
        {**SETTINGS, "batch_size": 5},
        {**SETTINGS, "tied": 1},
        {**SETTINGS, "tied": None},
        {**SETTINGS, "schedule": "linear"},
        {**SETTINGS, "new_setting": 0},
        {name: value for name, value in SETTINGS.items() if name != "tied"},
    ],
)
def test_different_settings_never_share_an_id(other: dict[str, object]) -> None:
    assert run_id(other, readable="a") != run_id(SETTINGS, readable="a")


def test_readable_names() -> None:
    values = {"batch_size": 4, "context_window": 16, "learning_rate": 1e-3}
    assert readable_name(values, in_sweep=False) == "single_bs4_cw16_lr1e-03"
    tuned = {"batch_size": 8, "context_window": 32, "learning_rate": 5e-4}
    assert readable_name(tuned, in_sweep=True) == "tune_8_32_5e-04"
    assert readable_name({**tuned, "learning_rate": 1.5e-3}, in_sweep=True) == "tune_8_32_1.5e-03"
    assert readable_name({**tuned, "learning_rate": 1.0}, in_sweep=True) == "tune_8_32_1e00"
    assert readable_name(values, in_sweep=False, prefix="mine") == "mine_bs4_cw16_lr1e-03"
    assert readable_name(values, in_sweep=True, run_name="whole") == "whole"


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "", ".hidden", "a b", "a\n", "ä", "a:b", "-a"])
def test_a_name_that_is_no_plain_name_is_refused_with_one_that_works(name: str) -> None:
    with pytest.raises(ConfigError, match="for example") as refusal:
        run_id(SETTINGS, readable=name)
    suggestion = str(refusal.value).rpartition("for example ")[2].strip("'")
    check_name(suggestion)


def test_a_name_too_long_for_an_artifact_is_refused() -> None:
    assert len("model-" + run_id(SETTINGS, readable="a" * 109)) == 128
    with pytest.raises(ConfigError, match="110 characters; 109 work"):
        run_id(SETTINGS, readable="a" * 110)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_a_setting_that_is_no_json_value_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        run_id({"x": value}, readable="a")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "completion_tracking").mkdir()
    (tmp_path / "completion_tracking" / "single_bs4_cw16_lr1e-03-aaa_completed.json").touch()
    (tmp_path / "single_bs4_cw16_lr1e-03-bbb").mkdir()
    (tmp_path / "tune_8_32_5e-04-ccc").mkdir()
    (tmp_path / ".gitkeep").touch()
    return tmp_path


def test_a_unique_prefix_finds_records_and_directories(root: Path) -> None:
    assert find("tune", root) == "tune_8_32_5e-04-ccc"
    assert find("single_bs4_cw16_lr1e-03-a", root) == "single_bs4_cw16_lr1e-03-aaa"


def test_several_matches_are_listed_and_none_names_the_nearest(root: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)begins 2 run IDs.*-aaa\n.*-bbb"):
        find("single_bs4_cw16_lr1e-03", root)
    with pytest.raises(UserError, match="the nearest is tune_8_32_5e-04-ccc"):
        find("tune_9_32_5e-04", root)
    with pytest.raises(UserError, match="there is no trial at all"):
        find("x", root / "nowhere")
    with pytest.raises(UserError, match="cannot be a run name"):
        find("../../x", root)


def test_a_whole_run_id_wins_over_longer_ones_that_begin_with_it(root: Path) -> None:
    (root / "tune_8_32_5e-04-ccc-more").mkdir()
    assert find("tune_8_32_5e-04-ccc", root) == "tune_8_32_5e-04-ccc"


def test_a_directory_made_with_other_settings_is_refused_with_every_difference(tmp_path: Path) -> None:
    check_config(tmp_path, run_id="a", counted={"rate": 1e-3, "size": 4, "old": 1})
    check_config(tmp_path, run_id="a", counted={"rate": 0.001, "size": 4.0, "old": 1})
    with pytest.raises(UserError) as refusal:
        check_config(tmp_path, run_id="a", counted={"rate": 1e-3, "size": 8, "new": None})
    for words in ("size: 4 there, 8 now", "old: 1 there, absent now", "new: absent there, None now"):
        assert words in str(refusal.value)


def test_the_wandb_run_of_a_trial_is_made_up_once_and_renewed_on_request(tmp_path: Path) -> None:
    first = wandb_run_id(tmp_path, renew=False)
    assert wandb_run_id(tmp_path, renew=False) == first
    renewed = wandb_run_id(tmp_path, renew=True)
    assert (
        renewed != first and wandb_run_id(tmp_path, renew=False) == first
    )  # nothing is kept before it is used
    keep_wandb_run_id(tmp_path, renewed)
    assert wandb_run_id(tmp_path, renew=False) == renewed
