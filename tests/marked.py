"""Runs a trial that leaves marks in a record of its system calls: what it has promised up to there.

    POWER_CUT_FOLDER=trials POWER_CUT_AT=120 python -m tests.marked tests.toy_trial '{"steps": 8}'

A mark is an attempt to open a file that cannot exist. With POWER_CUT_AT=N the process is killed before the
N-th time that it opens a file for writing below the folder, or changes a name there.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

from transformer_e2e.runs import completion, passage
from transformer_e2e.runs.checkpoints import CheckpointStore

MARKS = "/no/such/folder/mark/"
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "open"}


def mark(kind: str, value: object) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.open(f"{MARKS}{kind}/{value}", os.O_RDONLY)


def mark_after(owner: Any, name: str, kind: str, describe: Callable[..., object]) -> None:
    """Leave a mark each time that a function has returned, which is its promise."""
    original = getattr(owner, name)

    def marked(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        mark(kind, describe(*arguments, **named))
        return result

    setattr(owner, name, marked)


def count_changes(folder: str, fatal: int) -> None:
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event not in _CHANGES or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE):
            return
        done += 1
        if done == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        mark("change", done)

    sys.addaudithook(hook)


if __name__ == "__main__":
    count_changes(os.environ["POWER_CUT_FOLDER"], int(os.environ.get("POWER_CUT_AT", "0")))
    mark_after(CheckpointStore, "save", "saved", lambda *_, step, **__: step)
    mark_after(completion, "write", "record", lambda _, record: record.status)
    mark_after(passage, "open_session", "opened", lambda request, *_, **__: request.wandb_id)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
