"""What each of torchrun's processes does: rank 0 lives the trial, the others train along and are silent."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from transformer_e2e.compute.place import Place
from transformer_e2e.errors import WRONG_INPUT, PeerLost, UserError, complain, exit_code_of
from transformer_e2e.runs.outcome import ExitCode
from transformer_e2e.runs.stop import Reason, StopNow, StopRequest
from transformer_e2e.runs.trial import Trial
from transformer_e2e.trainer.follower import Follower

if TYPE_CHECKING:
    from transformer_e2e.trainer.meeting import Meeting

Stage = Callable[[], object]
TORCHRUN_SECONDS = 10.0  # until it has seen that a process failed, and ends the others
MAIN_SECONDS = 25.0  # for rank 0 to say how it ended; torchrun kills 30 s after its SIGTERM
SIGNAL_SECONDS = 2.0  # between torchrun's signals to two of its processes


def command_of(place: Place, module: str, arguments: Sequence[str]) -> str:
    """What one types to run the module again, on as many processes."""
    torchrun = ["torchrun", "--standalone", f"--nproc_per_node={place.size}"]
    return shlex.join([*(torchrun if place.size > 1 else ["python"]), "-m", module, *arguments])


def told_once(place: Place, action: Callable[[], int]) -> int:
    """What `action()` returns. The UserError that every rank raises alike is left to rank 0 to be told."""
    try:
        return action()
    except UserError:
        if place.is_main:
            raise
        return after_main(WRONG_INPUT)


def lead(place: Place, action: Callable[[Meeting], int]) -> int:
    """Rank 0: what `action(meeting)` returns (2 for a UserError), which the others then know, too."""
    from transformer_e2e.trainer.meeting import Meeting

    meeting, code = Meeting(place), int(ExitCode.FAILED)
    try:
        code = exit_code_of(lambda: action(meeting))
    finally:
        meeting.leave(code)
    return code


def follow(place: Place, stages: Callable[[Trial, Meeting], Sequence[Stage]]) -> int:
    """Every other rank: take part in each of the `stages(trial, meeting)` that rank 0 calls to, the last of
    which is the training. The exit code is 0 whenever training ended in order: how it ended, and with what
    code, is for rank 0 to say. Main thread only."""
    with StopRequest() as stop:
        try:
            return _follow(place, stages, stop)
        except StopNow:
            return (stop.reason or Reason.TERMINATED).exit_code
        except (PeerLost, UserError) as error:
            complain(f"rank {place.rank}: {error}")
            return ExitCode.INPUT if isinstance(error, UserError) else ExitCode.FAILED
        except Exception:
            complain(f"rank {place.rank}: a bug", with_traceback=True)
            return ExitCode.FAILED


def _follow(place: Place, stages: Callable[[Trial, Meeting], Sequence[Stage]], stop: StopRequest) -> int:
    from transformer_e2e.trainer.meeting import Meeting

    def asked() -> bool:
        stop.poll_from_now()
        return stop.reason is not None

    meeting = Meeting(place)
    for take_part in stages(Follower(asked), meeting):
        if not meeting.called():
            return after_main(meeting.exit_code(seconds=0, give_up=asked) or ExitCode.DONE)
        try:
            take_part()
        except (PeerLost, UserError):  # rank 0 may have left with an error of its own, and has told it
            code = meeting.exit_code(seconds=MAIN_SECONDS, give_up=asked)
            if not code:
                raise
            return after_main(code)
    return ExitCode.DONE


def after_main(code: int) -> int:
    """`code`, once rank 0 had the time to end with it: torchrun reports the first one that fails, and ends
    the others by SIGTERM, in the middle of whatever rank 0 still has to tell."""
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ended.append(number))
    deadline = time.monotonic() + (TORCHRUN_SECONDS if code else 0)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.05)
    return code


def await_own_signal(trial: Trial) -> None:
    """On rank 0, after a stop that all agreed on: another rank's signal may have come a moment earlier than
    its own, which alone says why."""
    deadline = time.monotonic() + SIGNAL_SECONDS
    while not trial.stop_requested and time.monotonic() < deadline:
        time.sleep(0.01)
