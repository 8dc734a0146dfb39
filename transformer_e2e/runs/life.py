"""The life of one trial, from its run ID to its exit code; shared by both training paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from transformer_e2e.errors import PeerLost, UserError, complain
from transformer_e2e.runs.durable import DiskFull
from transformer_e2e.runs.lock import TrialHeld
from transformer_e2e.runs.outcome import ExitCode
from transformer_e2e.runs.passage import Passage
from transformer_e2e.runs.spec import Result, TrialSpec
from transformer_e2e.runs.stop import Reason, StopNow, StopRequest
from transformer_e2e.runs.trial import Trial

__all__ = ["Result", "TrialSpec", "run_trial"]


def _say(text: str) -> None:
    print(text, flush=True)


def run_trial(
    spec: TrialSpec,
    work: Callable[[Trial], Result],
    *,
    say: Callable[[str], None] = _say,
    on_end: Callable[[int], None] = lambda _: None,
) -> int:
    """Do whatever is left to do for the trial and return the process's exit code (see `ExitCode`).

    `work(trial)` loads data and model, restores, trains, and is called at most once, with signal handlers
    installed. Nothing that can go wrong is raised: a UserError is printed and becomes 2, a full disk or a
    lost peer 1, a stop its own code, a bug its traceback and 1. `on_end(code)` is called last. Does not
    return, but leaves by `os._exit`, when the W&B client is stuck and would keep the process from ending.
    Main thread only.
    """
    stop = StopRequest(tell=True)
    with stop:
        passage = Passage(spec, work, stop, say)
        code = _exit_code(passage, stop, say)
    on_end(code)
    if passage.client_is_stuck:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _exit_code(passage: Passage, stop: StopRequest, say: Callable[[str], None]) -> int:
    try:
        return passage.run()
    except StopNow:
        reason = stop.reason or Reason.TERMINATED
        say(f"stopped ({reason.name.lower()}) before training began")
        return reason.exit_code
    except TrialHeld as held:
        say(f"{held}; nothing was touched")
        return ExitCode.HELD
    except (DiskFull, PeerLost) as error:
        complain(error)
        return ExitCode.FAILED
    except UserError as error:
        complain(error)
        return ExitCode.INPUT
    except Exception:
        complain(
            "a bug ended this attempt; checkpoints and metrics are kept, and the same command continues",
            with_traceback=True,
        )
        return ExitCode.FAILED
