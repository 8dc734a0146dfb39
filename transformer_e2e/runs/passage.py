"""One attempt's way through a trial's life: lock, then skip or train, then conclude and finish."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import Enum, auto

from transformer_e2e.config.wording import several
from transformer_e2e.errors import UserError
from transformer_e2e.runs import background, completion
from transformer_e2e.runs.artifacts import needs_publishing
from transformer_e2e.runs.attempts import Attempt
from transformer_e2e.runs.budget import DiskBudget
from transformer_e2e.runs.checkpoints import CheckpointStore, Room, boundless
from transformer_e2e.runs.completion import Ending, Record, Status
from transformer_e2e.runs.conclusion import Conclusion, Leaving
from transformer_e2e.runs.config_file import check_config, keep_wandb_run_id, wandb_run_id
from transformer_e2e.runs.identity import check_name
from transformer_e2e.runs.journal import JOURNAL_NAME, Journal, read_journal
from transformer_e2e.runs.live_trial import LiveTrial
from transformer_e2e.runs.lock import TrialLock
from transformer_e2e.runs.outcome import ExitCode, Outcome
from transformer_e2e.runs.spec import Result, TrialSpec
from transformer_e2e.runs.stop import Reason, StopNow, StopRequest
from transformer_e2e.runs.times import local_time
from transformer_e2e.runs.tracker import Session, connect, open_session
from transformer_e2e.runs.tracker_connection import is_online, is_switched_off
from transformer_e2e.runs.tracker_start import SessionRequest
from transformer_e2e.runs.trial import Trial


class _Plan(Enum):
    TRAIN = auto()  # from the newest checkpoint, if there is one
    START_OVER = auto()  # from step 0, without what is there
    SKIP = auto()  # the training is over; perhaps something is left to upload or to delete


class Passage:
    """Made for one call of `run`."""

    def __init__(
        self,
        spec: TrialSpec,
        work: Callable[[Trial], Result],
        stop: StopRequest,
        say: Callable[[str], None],
    ) -> None:
        self._spec, self._work, self._stop, self._say = spec, work, stop, say
        self._session: Session | None = None
        self._asked = False  # W&B may know the run by the id that is kept in the trial's directory
        # Inside a sweep the agent decides which W&B run this is.
        self._in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))
        self._given_id = os.environ.get("WANDB_RUN_ID") or None

    @property
    def client_is_stuck(self) -> bool:
        """The W&B client would keep the process from ending: a call never returned, or its start was cut."""
        cut_short = self._session is None and self._stop.reason is not None and "wandb" in sys.modules
        return cut_short or background.is_stuck()

    def run(self) -> int:
        """The exit code. Raises TrialHeld, StopNow, DiskFull, UserError, or what a bug raises."""
        check_name(self._spec.run_id)
        lock = TrialLock(self._spec.directory, no_wait=self._spec.no_wait, say=self._say)
        try:
            return self._holding(lock)
        finally:
            lock.release()

    def _holding(self, lock: TrialLock) -> int:
        spec = self._spec
        try:
            check_config(spec.directory, run_id=spec.run_id, counted=spec.counted)
            record = completion.read(spec.root, spec.run_id)
            plan = self._plan(record)
            if plan is _Plan.SKIP and record:
                return self._skip(record)
            session = self._open(plan, record)
        finally:
            if lock.made_directory and not self._asked:
                lock.remove_directory()  # W&B refused, a signal came, or there was nothing to do
        if plan is _Plan.START_OVER:
            self._forget()
        if session.path and not self._given_id:
            keep_wandb_run_id(spec.directory, session.run.id)
        return self._train(session)

    def _plan(self, record: Record | None) -> _Plan:
        if self._spec.force:
            return _Plan.START_OVER
        if record is None:
            return _Plan.TRAIN
        if record.outcome is Ending.PRUNED:
            self._say(f"{record.run_id} was pruned before; training it anew")
            return _Plan.START_OVER
        return _Plan.SKIP

    def _open(self, plan: _Plan, record: Record | None) -> Session:
        spec, start_over = self._spec, plan is _Plan.START_OVER
        journal = spec.directory / JOURNAL_NAME
        nothing_logged = not journal.exists() or journal.stat().st_size == 0
        if plan is _Plan.SKIP and record and record.wandb_id:
            own_id = record.wandb_id
        else:
            own_id = self._given_id or wandb_run_id(spec.directory, renew=start_over or is_switched_off())
        request = SessionRequest(
            wandb_id=self._given_id or own_id,
            run_id=spec.run_id,
            # The agent has set these; naming them again only earns a warning.
            project=None if self._in_sweep else spec.project,
            entity=None if self._in_sweep else spec.entity,
            config=spec.settings,
            # A trial handed over without its directory is trained from step 0, and so is its history.
            fresh=start_over or (self._in_sweep and plan is _Plan.TRAIN and nothing_logged),
        )
        connection = connect(request, say=self._say)
        self._asked = True
        self._session = open_session(
            request, connection, say=self._say, on_stop=lambda: self._stop.ask(Reason.TERMINATED)
        )
        return self._session

    def _forget(self) -> None:
        """The record first: a kill after it leaves a trial that is continued, not one that is skipped."""
        completion.remove(self._spec.root, self._spec.run_id)
        self._store().remove_all()
        (self._spec.directory / JOURNAL_NAME).unlink(missing_ok=True)

    def _store(self) -> CheckpointStore:
        spec, say = self._spec, self._say
        room: Room = boundless
        if spec.disk_budget:
            room = DiskBudget(spec.root, spec.run_id, limit=spec.disk_budget, say=say).room
        return CheckpointStore(spec.directory, keep=spec.keep_checkpoints, say=say, room=room)

    def _skip(self, record: Record) -> int:
        spec = self._spec
        self._say("\n".join(self._known(record)))
        publishing = needs_publishing(record, spec, online=is_online())
        elsewhere = self._given_id not in (None, record.wandb_id)
        sending = is_online() and not record.history_sent
        if not (publishing or sending or elsewhere or self._in_sweep):
            return ExitCode.DONE
        session = self._open(_Plan.SKIP, record)
        self._stop.poll_from_now()
        conclusion = Conclusion(spec, session, self._store(), self._stop, self._say, in_sweep=self._in_sweep)
        return self._leave(session, conclusion.of_skip(record, elsewhere=elsewhere, publishing=publishing))

    def _known(self, record: Record) -> list[str]:
        """What the skipped training came to, and how to have it again."""
        gone = "none" if record.status is Status.CLEANED else f"not uploaded, in {self._spec.directory}"
        model = f"artifact {record.artifact}" if record.artifact else gone
        how_to = self._spec.rerun_command or "give the same command with --force"
        return [
            f"Run was previously completed: {record.run_id}",
            f"  {record.outcome} on {local_time(record.created_at)} after {several(record.steps, 'step')}, "
            f"{record.describe_metric()}",
            f"  model: {model}",
            f"To train it again from step 0: {how_to}",
        ]

    def _train(self, session: Session) -> int:
        spec = self._spec
        attempt = Attempt(spec.directory, device=spec.settings.get("device"))
        if attempt.before:
            self._say(f"attempt {attempt.number} at {spec.run_id}; {attempt.before}")
        store = self._store()
        conclusion = Conclusion(spec, session, store, self._stop, self._say, in_sweep=self._in_sweep)
        leaving = Leaving("failed", ExitCode.FAILED)
        facts: dict[str, object] = {}
        try:
            journal = Journal(spec.directory)
            trial = LiveTrial(
                spec, journal=journal, store=store, session=session, stop=self._stop, say=self._say
            )
            try:
                result = self._train_or_stop(trial)
                leaving = conclusion.of_training(result, trial, seconds=attempt.seconds)
                facts = {"device": result.device, "replay_differences": trial.differences}
            finally:
                facts = {"steps": trial.last_step, **facts}
                trial.close()
                journal.close()
        except UserError:
            leaving = Leaving("refused", ExitCode.INPUT)
            raise
        except StopNow:
            leaving = conclusion.of_signal()
        finally:
            self._leave(session, leaving)
            attempt.end(leaving.outcome, exit_code=leaving.exit_code, **facts)
        return leaving.exit_code

    def _train_or_stop(self, trial: LiveTrial) -> Result:
        try:
            result = self._work(trial)
        except StopNow:
            result = Result(Outcome.STOPPED)
        except KeyboardInterrupt:  # raised by a library, not by the signal, which we handle
            self._stop.ask(Reason.INTERRUPTED)
            result = Result(Outcome.STOPPED)
        self._stop.poll_from_now()
        trial.settle()
        return result

    def _leave(self, session: Session, leaving: Leaving) -> int:
        sent, path = session.finish(leaving.wandb_exit_code, seconds=leaving.finish_seconds), session.path
        if sent and path and session.holds(len(read_journal(self._spec.directory))):
            completion.note_history_sent(self._spec.root, self._spec.run_id, wandb_run=path, url=session.url)
        return leaving.exit_code
