"""What the picture of a trial is told about its losses."""

from __future__ import annotations

from pathlib import Path

import pytest

from transformer_e2e.launch.pictures import local_history
from transformer_e2e.runs.config_file import check_config


@pytest.mark.parametrize(
    ("task", "unit"),
    [("classification", ""), ("extractive_qa", ""), ("generative_qa", "nats/token"), (None, "nats/token")],
)
def test_the_unit_of_a_loss_is_that_of_its_task(tmp_path: Path, task: str | None, unit: str) -> None:
    (tmp_path / "a").mkdir()
    check_config(tmp_path / "a", run_id="a", counted={"task": task} if task else {"num_layers": 2})
    assert local_history(tmp_path, "a").unit == unit
