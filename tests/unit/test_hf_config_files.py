"""The ready-made argument files, and what each says of a run without the hub."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.unit.test_hf_parser import given
from transformer_e2e.config.hf_settings import TASKS

FOLDER = Path("transformer_e2e/configs/hf")
FILES = sorted(FOLDER.glob("*.yaml"))
PROGRAM = "-m transformer_e2e.scripts.train_hf "
FROM_THE_HUB = (
    "model_name_or_path",
    "config_name",
    "tokenizer_name",
    "dataset_name",
    "dataset_config_name",
    "dataset_revision",
)


def commands(path: Path) -> list[list[str]]:
    """The arguments of every command that the file's comments show."""
    lines = [line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
    return [shlex.split(line.split(PROGRAM)[1]) for line in lines if PROGRAM in line]


def test_every_task_has_one() -> None:
    assert sorted(given(str(path)).values["task"] for path in FILES) == sorted(TASKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_commands_work_as_they_stand(path: Path) -> None:
    online, offline = (given(*arguments) for arguments in commands(path))
    assert online.values["model_name_or_path"] and online.values["dataset_name"]
    assert [name for name in FROM_THE_HUB if offline.values[name]] == []
    assert offline.values["deepspeed"] is None and offline.values["learning_rate"] >= 5e-4
    assert online.values["task"] == offline.values["task"]
