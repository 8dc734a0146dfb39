"""The life of one trial, from its run ID to its exit code; shared by both training paths."""

from __future__ import annotations

from collections.abc import Callable

from transformer_e2e.runs.spec import Result, TrialSpec
from transformer_e2e.runs.trial import Trial

__all__ = ["Result", "TrialSpec", "run_trial"]


def run_trial(spec: TrialSpec, work: Callable[[Trial], Result], *, say: Callable[[str], None] = print) -> int:
    """Do whatever is left to do for the trial and return the process's exit code (see `ExitCode`).

    `work(trial)` loads data and model, restores, trains, and is called at most once. Never raises for what
    can go wrong outside this program: a UserError is printed and becomes 2, a stop its own code.
    """
    raise NotImplementedError
