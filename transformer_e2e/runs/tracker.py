"""The W&B run of one attempt at a trial: opened, fed and finished, never in the way of training.

Only this module and its siblings `tracker_*` import wandb, and only inside functions: it takes a second.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

if TYPE_CHECKING:
    import wandb

X_AXIS = "train/global_step"
_INIT_SECONDS = 90.0  # W&B's own default for WANDB_INIT_TIMEOUT
_FINISH_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_LET_GO_SECONDS = 5.0
_NO_PART_OF_A_NAME = set("/\\#?%:")


@dataclass(frozen=True, kw_only=True)
class SessionRequest:
    """Which W&B run to open. `fresh`: whatever the run holds is dropped, rows begin at 0."""

    wandb_id: str
    run_id: str
    project: str | None
    entity: str | None
    config: Mapping[str, Any]
    fresh: bool


class Session:
    """An open W&B run. What feeds it never raises: the first failure is said, later calls do nothing."""

    def __init__(self, run: wandb.Run, connection: Connection | None, say: Callable[[str], None]) -> None:
        self.run = run
        self.connection = connection  # None: offline
        self._say = say
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
        if row >= self.rows_held:
            self._feed(lambda: self.run.log(dict(metrics), step=row, commit=True))

    def summarise(self, values: Mapping[str, Any]) -> None:
        self._feed(lambda: self.run.summary.update(dict(values)))

    def note_best(self, metric: str, value: float) -> None:
        self.summarise({BEST_PREFIX + metric: value})

    def note_checkpoint(self, step: int, digest: str) -> None:
        """The newest checkpoint on disk, for whoever watches: its step and the SHA-256 of its manifest."""
        self.summarise({CHECKPOINT_STEP: step, CHECKPOINT_DIGEST: digest})

    def mark_preempting(self) -> None:
        """If the process now ends with a failure, the sweep hands the trial to somebody else."""
        self._feed(self.run.mark_preempting)

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
            _let_go()
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
            self._complain(error)

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
    """Open, or continue, the W&B run of a trial.

    `on_stop` is called from another thread when somebody presses stop on W&B's page. Raises TrackerError if
    W&B refuses the run, or its client fails; W&B may have made the run then.
    """
    import wandb

    if wandb.run is not None:
        raise RuntimeError("a W&B run is open already; one process works on one trial")
    try:
        run = wandb.init(
            id=request.wandb_id,
            resume=None if request.fresh else "allow",
            name=request.run_id,
            project=request.project,
            entity=request.entity,
            config={**request.config, "run_id": request.run_id},
            settings=wandb.Settings(
                x_file_stream_transmit_interval=1,  # a sweep can only stop a bad trial that it hears of
                finish_timeout=_FINISH_SECONDS,
                finish_timeout_raises=True,
                stop_fn=on_stop,  # W&B's default is a SIGINT, which would look like Ctrl-C
            ),
        )
        run.define_metric(X_AXIS)
        run.define_metric("*", step_metric=X_AXIS)
    except (wandb.errors.Error, ValueError, TimeoutError) as error:
        raise TrackerError(f"W&B refused to start the run {request.wandb_id}: {error}") from None
    except Exception as error:
        _let_go()
        raise TrackerError(
            f"W&B's client failed at the start of the run {request.wandb_id} ({type(error).__name__}: "
            f"{error}); give the same command again"
        ) from None
    return Session(run, connection, say)


def _let_go() -> None:
    """End a client whose helper process has died; else it fails once more, aloud, when the process ends."""
    import wandb

    with contextlib.suppress(Exception):
        in_background(wandb.teardown, seconds=_LET_GO_SECONDS)


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
