"""A process ends with its exit code, also where a library has left it joined to others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import REPOSITORY

# Rank 1 joins in while rank 0, which does not let go of the interpreter, is about to end. A thread of gloo's
# then has the sum, and asks rank 0's interpreter to take the tensor back: too late where that is taken down.
JOINED = """
import atexit, ctypes, sys, time, torch
import torch.distributed as dist
from datetime import timedelta
from transformer_e2e.launch.ending import end_with

def main():
    rank = int(sys.argv[2])
    store = dist.FileStore(sys.argv[1], 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    atexit.register(print, "registered")
    ready = torch.zeros(1)
    dist.all_reduce(ready)
    if rank == 1:
        time.sleep(0.5)
    dist.all_reduce(torch.ones(1), async_op=True)
    sys.setswitchinterval(1000)
    if rank == 0:
        ctypes.PyDLL(None).usleep(1_500_000)  # holds on to the interpreter
    print("returned", end=" ")
    return 7

end_with(main)
"""
ALONE = """
import atexit, sys, threading, time
from transformer_e2e.launch.ending import end_with

def late():
    time.sleep(0.3)
    print("thread", end=" ")

def main():
    atexit.register(print, "registered")
    threading.Thread(target=late).start()
    {end}

end_with(main)
"""


def test_a_joined_process_is_not_aborted_after_its_work(tmp_path: Path) -> None:
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", JOINED, str(tmp_path / "store"), str(rank)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [rank.communicate(timeout=240)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [7, 7]
    assert said == ["returned registered\n"] * 2


ENDS = {"return 0": 0, "return 75": 75, "sys.exit(3)": 3, "1/0": 1}


@pytest.mark.parametrize(("end", "code"), ENDS.items())
def test_a_process_alone_ends_as_any_other(end: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(end=end)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (code, "thread registered\n")
    assert ("ZeroDivisionError" in done.stderr) == (end == "1/0")
