"""One attempt at a trial, by either training program: alone, or as the process that leads the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_e2e.launch.afterwards import next_lines
from transformer_e2e.launch.pictures import draw_after_training
from transformer_e2e.launch.server import connected
from transformer_e2e.runs.completion import is_done
from transformer_e2e.runs.life import run_trial
from transformer_e2e.runs.outcome import ExitCode
from transformer_e2e.runs.spec import Result, TrialSpec
from transformer_e2e.runs.trial import Trial

if TYPE_CHECKING:
    from transformer_e2e.trainer.meeting import Meeting


def make_attempt(
    spec: TrialSpec,
    work: Callable[[Trial], Result],
    *,
    check_inputs: Callable[[], object],
    plot_dir: Path,
    say: Callable[[str], None],
    meeting: Meeting | None,
) -> int:
    """Do whatever is left to do for the trial, draw it, and say what to type next; returns the exit code.

    `check_inputs` is called unless the trial is done, before W&B hears of it: what it raises leaves nothing
    behind. `work`: see `run_trial`. `meeting`: of the processes that this one leads.
    """
    say(f"trial {spec.run_id}")
    if spec.force or not is_done(spec.root, spec.run_id):
        check_inputs()
    with connected() as server:
        if server:
            say(server.introduction)
        code = run_trial(spec, work, say=say, on_end=meeting.leave if meeting else lambda _: None)
    if code not in (ExitCode.INPUT, ExitCode.HELD):
        draw_after_training(spec.root, spec.run_id, plot_dir, say)
    if code == ExitCode.DONE:
        for line in next_lines(spec.root, spec.run_id, spec.settings):
            say(line)
    return code
