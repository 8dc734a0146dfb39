"""What cannot go on says why, exits as documented, and leaves nothing lost or half-made."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.integration.trial_driver import Trials
from tests.serving import ServerProcess, clean_environment
from tests.toy_trial import Toy


@pytest.fixture
def offline(tmp_path: Path) -> Trials:
    """Trials that need no server: the real client, logging to its own files."""
    home = tmp_path / "home"
    home.mkdir()
    return Trials(_Offline(tmp_path / "none", home), tmp_path / "model_checkpoints")


class _Offline(ServerProcess):
    @property
    def env(self) -> dict[str, str]:
        return {**clean_environment(self.home), "WANDB_MODE": "offline"}


def left_behind(trials: Trials, toy: Toy) -> list[Path]:
    return [*trials.root.glob("toy*"), *trials.root.glob("completion_tracking/*")]


def test_a_wrong_key_is_said_and_leaves_no_directory(wandb_server: ServerProcess, tmp_path: Path) -> None:
    trials = Trials(wandb_server, tmp_path / "model_checkpoints")
    toy = trials.toy()
    process = trials.run(toy, code=2, WANDB_API_KEY="0" * 40)
    assert "does not accept the API key" in process.errors and "Traceback" not in process.errors
    assert left_behind(trials, toy) == []
    assert trials.wandb_runs(toy) == []


def test_a_wrong_key_takes_nothing_from_a_trial_that_was_forced(
    wandb_server: ServerProcess, tmp_path: Path
) -> None:
    trials = Trials(wandb_server, tmp_path / "model_checkpoints")
    trials.run(trials.toy(life={"upload": False}), code=0)
    before = trials.record(trials.toy()), trials.checkpoints(trials.toy()), trials.journal(trials.toy())
    trials.run(trials.toy(life={"force": True}), code=2, WANDB_API_KEY="0" * 40)
    assert before == (
        trials.record(trials.toy()),
        trials.checkpoints(trials.toy()),
        trials.journal(trials.toy()),
    )


def test_an_unreachable_server_is_waited_for_and_then_said(offline: Trials) -> None:
    toy = offline.toy()
    began = time.monotonic()
    process = offline.run(
        toy,
        code=2,
        WANDB_MODE="online",
        WANDB_BASE_URL="http://127.0.0.1:9",
        WANDB_API_KEY="0" * 40,
        WANDB_INIT_TIMEOUT="3",
    )
    assert time.monotonic() - began < 30
    assert "cannot be reached" in process.errors and "WANDB_MODE=offline" in process.errors
    assert left_behind(offline, toy) == []


def test_no_key_at_all_is_said(offline: Trials) -> None:
    toy = offline.toy()
    process = offline.run(toy, code=2, WANDB_MODE="online", WANDB_BASE_URL="http://127.0.0.1:9")
    assert "there is no API key for http://127.0.0.1:9" in process.errors
    assert left_behind(offline, toy) == []


def test_a_name_that_is_a_path_is_refused(offline: Trials, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be a run name"):
        _ = offline.toy(name="../../x").run_id
    assert not (tmp_path.parent / "x").exists()


def test_missing_data_found_during_the_work_exits_2_without_a_traceback(offline: Trials) -> None:
    process = offline.run(offline.toy(fails="data"), code=2)
    assert "error: the corpus is not there" in process.errors and "Traceback" not in process.errors


def test_a_corrupt_checkpoint_gives_way_to_an_older_one(offline: Trials) -> None:
    toy = offline.toy(steps=8, eval_interval=2)
    offline.run(offline.toy(steps=8, eval_interval=2, kill_at_step=7), code=-9)
    newest = offline.directory(toy) / "step-00000006"
    (newest / "sum.json").write_text('{"step": 6, "sum": 0.0}')
    process = offline.run(toy, code=0)
    assert f"skipping checkpoint {newest}" in process.out and "does not have the digest" in process.out
    assert f"continuing {toy.run_id} from step 4" in process.out
    (end,) = offline.ends(toy)
    assert end["replay_differences"] == 0
    assert (offline.directory(toy) / "unusable-step-00000006").is_dir()


def test_only_corrupt_checkpoints_are_an_error_that_keeps_them(offline: Trials) -> None:
    toy = offline.toy(steps=8, eval_interval=4)
    offline.run(offline.toy(steps=8, eval_interval=4, kill_at_step=7), code=-9)
    (offline.directory(toy) / "step-00000004" / "manifest.json").unlink()
    process = offline.run(toy, code=2)
    assert "none of the checkpoints" in process.errors and "--force" in process.errors
    assert offline.checkpoints(toy) == ["step-00000004"]
    offline.run(offline.toy(steps=8, eval_interval=4, life={"force": True}), code=0)


def test_a_directory_of_other_settings_is_refused_by_name(offline: Trials) -> None:
    toy = offline.toy()
    offline.run(toy, code=0)
    config = offline.directory(toy) / "config.json"
    content = json.loads(config.read_text())
    content["counted"]["seed"] = 5
    config.write_text(json.dumps(content))
    process = offline.run(toy, code=2)
    assert "seed: 5 there, 1 now" in process.errors


def test_a_full_disk_keeps_the_older_checkpoint_and_says_how_much_is_missing(offline: Trials) -> None:
    toy = offline.toy(payload=400_000, eval_interval=2)
    offline.run(offline.toy(payload=400_000, eval_interval=2, kill_at_step=3), code=-9)
    assert offline.checkpoints(toy) == ["step-00000002"]
    process = offline.run(offline.toy(payload=400_000, eval_interval=2, file_limit=300_000), code=1)
    assert "is full: about 400," in process.errors and "bytes are free" in process.errors
    assert "Traceback" not in process.errors
    assert offline.checkpoints(toy) == ["step-00000002"]
    assert not list(offline.directory(toy).glob(".staging-*"))
    offline.run(toy, code=0)


def test_a_project_that_is_a_path_is_refused_before_anything_is_made(offline: Trials) -> None:
    toy = offline.toy(life={"entity": "a/b"})
    process = offline.run(toy, code=2)
    assert "entity 'a/b' cannot be a name on W&B" in process.errors
    assert left_behind(offline, toy) == []
