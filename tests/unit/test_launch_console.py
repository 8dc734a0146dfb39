"""The console and the log file: who gets what, and what happens when the file cannot be had."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import REPOSITORY
from transformer_e2e.errors import LOGGER, ConfigError, complain, exit_code_of
from transformer_e2e.launch.console import open_console

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    hook = sys.excepthook
    yield
    sys.excepthook = hook
    logger = logging.getLogger(LOGGER)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True


def test_the_file_gets_what_the_console_says_with_times_and_levels(tmp_path: Path, capsys) -> None:
    path = tmp_path / "new" / "folder" / "train.log"
    say = open_console(str(path))
    say("trial \x1b[1mA\x1b[0m\nnext line")
    say("warning: slow disk; use another")
    logging.getLogger("transformer_e2e.data").warning("%s is old", "cache")
    assert exit_code_of(lambda: complain("no such key") or 2) == 2

    out, err = capsys.readouterr()
    assert out == "trial \x1b[1mA\x1b[0m\nnext line\n"
    assert err == "warning: slow disk; use another\nwarning: cache is old\nerror: no such key\n"
    lines = path.read_text().splitlines()
    assert re.fullmatch(rf"{STAMP} INFO    \[\d+\] ==== begins on \S+, process \d+: .*", lines[0])
    said = [re.sub(rf"^{STAMP} ", "", text).replace("\x1b", "ESC") for text in lines[1:]]
    assert [re.sub(r"\[\d+\] ", "", text) for text in said] == [
        "INFO    trial A",
        "    next line",
        "WARNING slow disk; use another",
        "WARNING cache is old",
        "ERROR   no such key",
    ]


def test_a_second_attempt_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    for text in ("one", "two"):
        open_console(str(path))(text)
    assert [re.sub(r".*\] (====)?.*?(\w+)$", r"\1\2", text) for text in path.read_text().splitlines()][
        1::2
    ] == [
        "one",
        "two",
    ]
    assert path.read_text().count("==== begins") == 2


@pytest.mark.parametrize("place", [".", "file/below.log"])
def test_a_file_that_cannot_be_written_is_refused_with_one_that_can(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--log_file=.* cannot be written .* such as logs/train\.log"):
        open_console(str(tmp_path / place))


def test_a_file_that_fails_later_is_given_up_with_one_warning(capsys) -> None:
    say = open_console("/dev/full")
    say("one")
    say("two")
    out, err = capsys.readouterr()
    assert out == "one\ntwo\n"
    assert err.count("warning: the log file /dev/full cannot be written any more") == 1


@pytest.mark.parametrize(
    "crash", ["1 / 0", "import transformer_e2e.errors as e; e.exit_code_of(lambda: 1 / 0)"]
)
def test_the_traceback_of_a_bug_is_in_the_file(tmp_path: Path, crash: str) -> None:
    path = tmp_path / "train.log"
    program = f"from transformer_e2e.launch.console import open_console; open_console({str(path)!r}); {crash}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    for text in (done.stderr, path.read_text()):
        assert "Traceback" in text and "ZeroDivisionError: division by zero" in text
