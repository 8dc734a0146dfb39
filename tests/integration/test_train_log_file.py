"""What a training leaves for a person: its log file and its picture, also when it was stopped."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.training import Workplace, offline

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO   |WARNING|ERROR  ) \[\d+\] ")


def test_log_file_and_picture_of_a_training_that_was_stopped_and_went_on(tmp_path: Path) -> None:
    workplace, env = Workplace(tmp_path).prepare(), offline(tmp_path)
    log = tmp_path / "logs" / "train.log"
    code = workplace.stop_at_row(env, "trials", 3, signal.SIGTERM, log_file=log, log_interval=5)
    assert code == 143
    (picture,) = (tmp_path / "plots").iterdir()
    early = picture.read_bytes()

    output = workplace.finish(env, "trials", log_file=log, log_interval=5)

    assert picture.read_bytes() != early and f"picture: {picture}" in output
    lines = log.read_text().splitlines()
    assert all(STAMP.match(line) or line.startswith("    ") for line in lines)
    said = "\n".join(STAMP.sub("", line) for line in lines)
    assert said.count("==== begins on") == 2 and "--max_steps=48" in said
    (stopped,) = re.findall(r"stopped \(terminated\) after step (\d+), which has a checkpoint", said)
    assert f" from step {stopped}\n" in said  # not that of the last logged row
    console = [line for line in output.splitlines() if line.startswith(("step ", "trial ", "next: "))]
    assert console and all(line in said for line in console)


def test_a_log_file_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path).prepare()
    output = workplace.finish(
        offline(tmp_path), "trials", exit_code=2, log_file=tmp_path / "corpus.txt" / "x"
    )
    assert "--log_file=" in output and "such as logs/train.log" in output
    assert not (tmp_path / "trials").exists() and not (tmp_path / "cache").exists()
