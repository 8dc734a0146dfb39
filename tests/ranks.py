"""The processes of a torchrun, and what they leave on W&B, for tests."""

from __future__ import annotations

import re
import time
from pathlib import Path

HISTORY = """
import json, sys, wandb
runs = wandb.Api().runs(sys.argv[1])
print(json.dumps([sorted(run.scan_history(), key=lambda row: row["_step"]) for run in runs]))
"""


def rank_pid(torchrun: int, rank: int) -> int:
    """The process of a rank."""
    (children,) = Path(f"/proc/{torchrun}/task/{torchrun}").glob("children")
    for child in children.read_text().split():
        if f"\0RANK={rank}\0" in f"\0{Path(f'/proc/{child}/environ').read_text()}\0":
            return int(child)
    raise AssertionError(f"torchrun {torchrun} has no rank {rank}")


def ended_as_wrong_input(torchrun_said: str) -> bool:
    """Both processes; torchrun may have ended one, by SIGTERM, before it had read its arguments."""
    codes = re.findall(r"exitcode  : (-?\d+) ", torchrun_said)
    return len(codes) == 2 and "2" in codes and set(codes) <= {"2", "-15"}


def await_end(pid: int) -> None:
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)
