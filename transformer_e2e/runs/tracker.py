"""The W&B run of one attempt at a trial: opened, fed and finished, never in the way of training.

Only this module and its siblings `tracker_*` import wandb, and only inside functions: it takes a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from transformer_e2e.errors import TrackerError
from transformer_e2e.runs.background import Overdue, in_background
from transformer_e2e.runs.tracker_connection import (
    Connection,
    Denied,
    Refused,
    Unreachable,
    is_online,
    is_switched_off,
)
from transformer_e2e.runs.tracker_queries import (
    BEST_PREFIX,
    CHECKPOINT_DIGEST,
    CHECKPOINT_STEP,
    Intent,
    rows_held,
    stop_intent,
)
from transformer_e2e.runs.tracker_start import SessionRequest, let_go, start_again, start_run

if TYPE_CHECKING:
    import wandb

_INIT_SECONDS = 90.0  # W&B's own default for WANDB_INIT_TIMEOUT
_RETRY_SECONDS = 1.0
_RESTARTS = 3  # of the client, in one attempt
_NO_PART_OF_A_NAME = set("/\\#?%:")


class Session:
    """An open W&B run. What feeds it never raises: the first failure is said, later calls do nothing."""

    def __init__(
        self,
        run: wandb.Run,
        connection: Connection | None,
        say: Callable[[str], None],
        again: Callable[[], wandb.Run],
    ) -> None:
        """`again` continues the run with a new client."""
        self.run = run
        self.connection = connection  # None: offline
        # Rows of the journal by number, from a number on; without it a client that dies is not replaced.
        self.rows: Callable[[int], Iterable[tuple[int, Mapping[str, float]]]] | None = None
        self._say, self._again = say, again
        self._summary: dict[str, Any] = {}
        self._restarts = 0
        self._next = self.rows_held  # number of the next row to send
        self._broken = False

    @property
    def online(self) -> bool:
        return self.connection is not None

    @property
    def path(self) -> str | None:
        """entity/project/id, offline without an entity; None where W&B is switched off: there is no run."""
        if is_switched_off():
            return None
        return f"{self.run.entity or ''}/{self.run.project}/{self.run.id}"

    @property
    def url(self) -> str | None:
        return self.run.url if self.online else None

    @property
    def rows_held(self) -> int:
        """History rows that W&B has already; the next one it expects has this number."""
        return int(self.run.starting_step)

    def send(self, row: int, metrics: Mapping[str, float]) -> None:
        """Row number `row` of the journal, if W&B does not have it yet."""
        self._feed(lambda: self._log(row, metrics))

    def summarise(self, values: Mapping[str, Any]) -> None:
        self._summary |= values
        self._feed(lambda: self.run.summary.update(dict(values)))

    def note_best(self, metric: str, value: float) -> None:
        self.summarise({BEST_PREFIX + metric: value})

    def note_checkpoint(self, step: int, digest: str) -> None:
        """The newest checkpoint on disk, for whoever watches: its step and the SHA-256 of its manifest."""
        self.summarise({CHECKPOINT_STEP: step, CHECKPOINT_DIGEST: digest})

    def mark_preempting(self) -> None:
        """If the process now ends with a failure, the sweep hands the trial to somebody else."""
        self._feed(lambda: self.run.mark_preempting())

    def stop_intent(self) -> Intent:
        """Whether W&B asked this run to stop; UNKNOWN offline or without an answer. Takes 10 s at most."""
        if self.connection is None:
            return Intent.UNKNOWN
        return stop_intent(self.connection, entity=self.run.entity, project=self.run.project, run=self.run.id)

    def finish(self, exit_code: int, *, seconds: float) -> bool:
        """Send what is left and close, within about `seconds`; False (and said) if that failed."""
        try:
            in_background(lambda: self.run.finish(exit_code=exit_code), seconds=seconds)
        except (Overdue, TimeoutError):
            self._broken = True
            self._say(
                f"warning: W&B did not take the last rows within {seconds:.0f} s; they are in the trial's "
                f"metrics.jsonl, and the same command, given again, sends them"
            )
            return False
        except Exception as error:
            self._complain(error)
        if self._broken:
            let_go()
        return not self._broken

    def holds(self, rows: int) -> bool:
        """Whether W&B says that it has at least `rows` rows; False without an answer. For after `finish`.

        Asked, because the client ends without an error after an upload that it has given up.
        """
        if self.connection is None or self.path is None:
            return False
        return rows_held(self.connection, *self.path.split("/")) >= rows

    def _feed(self, call: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            call()
        except Exception as error:
            if not self._restarted(error):
                self._complain(error)
            else:
                self._feed(call)

    def _log(self, row: int, metrics: Mapping[str, float]) -> None:
        if row >= self._next:
            self.run.log(dict(metrics), step=row, commit=True)
            self._next = row + 1

    def _restarted(self, error: Exception) -> bool:
        """Whether a new client has taken over, with all that W&B lacks: its helper process may be killed."""
        if self.rows is None or not self.online or self._restarts == _RESTARTS:
            return False
        self._restarts += 1
        try:
            self.run = self._again()
            self._next = self.rows_held
            for number, metrics in self.rows(self.rows_held):
                self._log(number, metrics)
            self.run.summary.update(self._summary)
        except Exception:
            return False
        self._say(
            f"warning: W&B's client failed ({type(error).__name__}: {error}); a new one goes on with the run"
        )
        return True

    def _complain(self, error: Exception) -> None:
        """Once: a broken client fails at every row."""
        if not self._broken:
            self._broken = True
            self._say(
                f"warning: W&B failed ({type(error).__name__}: {error}); training goes on, rows are kept in "
                f"metrics.jsonl, and the same command, given again, sends them"
            )


def connect(request: SessionRequest, *, say: Callable[[str], None]) -> Connection | None:
    """The way to W&B, which was just seen to work; None offline. W&B has not heard of the run yet.

    Raises TrackerError if W&B refuses the key, cannot be reached for WANDB_INIT_TIMEOUT seconds (default
    90; a server that is being restarted is waited for), or cannot have such a project or entity.
    """
    _check_place(project=request.project, entity=request.entity)
    return reach(say) if is_online() else None


def open_session(
    request: SessionRequest,
    connection: Connection | None,
    *,
    say: Callable[[str], None],
    on_stop: Callable[[], None],
) -> Session:
    """Open, or continue, the W&B run of a trial. See `start_run`."""
    run = start_run(request, on_stop)
    return Session(run, connection, say, lambda: start_again(request, on_stop))


def _check_place(**names: str | None) -> None:
    """Raise TrackerError for a project or entity that cannot be a part of an address."""
    for kind, name in names.items():
        if name is not None and (not name or set(name) & _NO_PART_OF_A_NAME):
            raise TrackerError(
                f"{kind} {name!r} cannot be a name on W&B: it must not be empty or hold any of "
                f"{' '.join(sorted(_NO_PART_OF_A_NAME))}"
            )


def reach(say: Callable[[str], None]) -> Connection:
    """A connection that was just seen to work. Raises Denied at once, Unreachable after patience."""
    connection = Connection.configured()
    patience = float(os.environ.get("WANDB_INIT_TIMEOUT") or _INIT_SECONDS)
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            connection.viewer()
            return connection
        except Refused:  # another version of the query language; let the client itself judge
            return connection
        except Denied:
            raise
        except Unreachable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unreachable(
                    f"{error}; gave up after {patience:.0f} s. Start the server, correct WANDB_BASE_URL, or "
                    f"train without one by WANDB_MODE=offline"
                ) from None
            if not told:
                told = True
                say(
                    f"warning: {error}; trying for another {left:.0f} s. Start the server, or correct "
                    f"WANDB_BASE_URL"
                )
            time.sleep(min(_RETRY_SECONDS, left))
