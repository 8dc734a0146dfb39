"""How a trial ended, and the exit code that tells `wandb agent`, Slurm and a shell what to think.

The agent counts every code above 0 as a failed run and leaves after three of them in its first minute
(wandb 0.31, wandb_agent.py), so whatever is no failure exits 0.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Outcome(StrEnum):
    """What the training loop says when it returns."""

    FINISHED = "finished"  # every step was taken
    EARLY_STOPPED = "early_stopped"  # the metric stopped improving
    DIVERGED = "diverged"  # the loss is not a finite number
    STOPPED = "stopped"  # stop_requested was seen; the checkpoint is written


class ExitCode(IntEnum):
    DONE = 0  # finished, early-stopped, diverged, pruned, skipped
    FAILED = 1  # a bug, or a full disk
    INPUT = 2  # wrong input, or W&B refused at the start
    HELD = 75  # another attempt holds the trial (sysexits.h: EX_TEMPFAIL, try again later)
    INTERRUPTED = 130  # 128 + SIGINT
    PREEMPTED = 140  # 128 + SIGUSR2
    TERMINATED = 143  # 128 + SIGTERM
