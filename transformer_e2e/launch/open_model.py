"""Finds a trained model, wherever it is now: a checkpoint on this disk, or the artifact that it became."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.errors import CheckpointError, TrackerError, UserError
from transformer_e2e.launch.model_kinds import F, Family, Found, Kind, OtherFamily
from transformer_e2e.launch.read_model import Say, from_artifact, from_directory, newest_usable
from transformer_e2e.launch.tracked_trial import TrackedTrial, Tracker, differing
from transformer_e2e.runs import completion
from transformer_e2e.runs.checkpoints import list_checkpoints
from transformer_e2e.runs.completion import Ending, Record
from transformer_e2e.runs.identity import check_name, find, known_run_ids
from transformer_e2e.runs.lock import is_held


@contextmanager
def open_model(choice: ModelChoice, kind: Kind[F], say: Say) -> Iterator[F]:
    """The chosen model, for the length of the block (W&B may be asked for no longer); says which it is.

    A run ID is looked for in the completion records, the local directories, then on W&B; without any name
    it is the newest trial of the kind's family that is done. A local checkpoint is preferred; an artifact is
    fetched into a directory that is deleted once the model is in memory: the disk that an upload freed stays
    free. Digests are compared in both cases. Raises UserError: nothing there, several there, W&B refuses,
    damaged files, a model of the other family.
    """
    from transformer_e2e.compute.device import resolve_device

    device = str(resolve_device(choice.device))
    with ExitStack() as stack:
        tracker = Tracker(choice, stack)
        if choice.checkpoint is not None:
            found = from_directory(Path(choice.checkpoint), kind, device, say)
        elif choice.artifact is not None:
            tracker.connect()
            found = from_artifact(tracker.qualified(choice.artifact), None, kind, device)
        else:
            found = _of_trial(choice, kind, tracker, device, say)
        for line in (found.describe(), *found.notes):
            say(line)
        yield found


def _of_trial(choice: ModelChoice, kind: Kind[F], tracker: Tracker, device: str, say: Say) -> F:
    root = Path(choice.checkpoint_dir)
    run_id = _newest(root, kind.family) if choice.run_id is None else _local_run_id(choice.run_id, root)
    tracked: TrackedTrial | None = None
    if run_id is None:
        tracked = _only_on_wandb(str(choice.run_id), root, tracker)
        run_id = tracked.run_id
    record = completion.read(root, run_id)
    if record is not None and not kind.family.owns(record):
        raise OtherFamily(f"trial {run_id}", f"--run_id {run_id}", kind.other)
    directory = root / run_id
    found = newest_usable(directory, kind, device, say) if list_checkpoints(directory) else None
    silence = "W&B has no such run"
    if tracked is None and (kind.compared or (found is None and record is None)):
        try:
            tracked = tracker.find(run_id, run=record.wandb_run if record else None)
        except TrackerError as error:
            silence = f"W&B was not asked ({str(error).splitlines()[0]})"
    if found is None:
        found = _uploaded(run_id, record, tracked, kind, tracker, device)
    elif record is None:
        found.weights += ", in training now" if is_held(directory) else ", training not finished"
    found.run_id = run_id
    if kind.compared:
        _compare(found, tracked, silence)
    return found


def _compare(found: Found, tracked: TrackedTrial | None, silence: str) -> None:
    """Note where the hyperparameters were read, and what W&B says differently of them."""
    if tracked is None:
        found.hyperparameters = f"the checkpoint, for {silence}"
        return
    found.hyperparameters = f"W&B {tracked.path}"
    if found.settings and (wrong := differing(tracked.hyperparameters, found.settings)):
        found.notes.append(f"W&B and the checkpoint differ, the checkpoint counts: {', '.join(wrong)}")


def _uploaded(
    run_id: str,
    record: Record | None,
    tracked: TrackedTrial | None,
    kind: Kind[F],
    tracker: Tracker,
    device: str,
) -> F:
    """The trial's artifact: as its record says, else where its run on W&B would have put it."""
    if record is not None and record.artifact is not None:
        try:
            tracker.connect()
        except TrackerError as error:
            raise TrackerError(
                f"the weights of {run_id} are no longer on this disk, but in its artifact {record.artifact}; "
                f"{error}"
            ) from None
        return from_artifact(record.artifact, record.digests, kind, device)
    if record is not None or tracked is None:
        raise CheckpointError(_nothing_left(run_id, record))
    try:
        return from_artifact(tracked.artifact, None, kind, device)
    except TrackerError as error:
        raise CheckpointError(
            f"W&B knows the trial {run_id} ({tracked.path}), but has no model of it: {error}; the artifact "
            "is made when the training is over, until then use it where its checkpoints are"
        ) from None


def _local_run_id(prefix: str, root: Path) -> str | None:
    """The run ID on this disk; None if none begins so. Raises UserError for several."""
    check_name(prefix)
    return find(prefix, root) if any(name.startswith(prefix) for name in known_run_ids(root)) else None


def _only_on_wandb(prefix: str, root: Path, tracker: Tracker) -> TrackedTrial:
    try:
        tracked = tracker.find(prefix)
        elsewhere = f"{tracker.entity}/{tracker.project} on W&B has none either"
    except TrackerError as error:
        tracked, elsewhere = None, f"W&B could not be asked: {error}"
    if tracked is None:
        try:
            find(prefix, root)  # says what is nearest
        except UserError as error:
            raise CheckpointError(f"{error}; {elsewhere}") from None
        raise AssertionError("found after all")
    return tracked


def _newest(root: Path, family: Family) -> str:
    usable = [
        record
        for record in completion.records(root)
        if record.outcome in (Ending.FINISHED, Ending.EARLY_STOPPED) and family.owns(record)
    ]
    if not usable:
        raise CheckpointError(
            f"no trial below {root} that made {family.name} is done; train one first: {family.training}, or "
            "name one that is in training by --run_id"
        )
    return usable[-1].run_id


def _nothing_left(run_id: str, record: Record | None) -> str:
    if record is not None and record.outcome is Ending.PRUNED:
        return (
            f"trial {run_id} was pruned and its weights were deleted; train it again, or take another: "
            "python scripts/manage_completed_runs.py list"
        )
    if record is not None and record.outcome is Ending.DIVERGED:
        return (
            f"trial {run_id} diverged before it had a model; take another: "
            "python scripts/manage_completed_runs.py list"
        )
    return (
        f"trial {run_id} has neither a local checkpoint nor an artifact; train it first, or list what "
        "there is: python scripts/manage_completed_runs.py list"
    )
