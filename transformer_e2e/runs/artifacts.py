"""Upload, verify, record, delete: each only after the one before it is on record, each repeatable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch

from transformer_e2e.errors import CheckpointError, TrackerError
from transformer_e2e.runs import completion, tracker_artifacts
from transformer_e2e.runs.checkpoints import Checkpoint, CheckpointStore
from transformer_e2e.runs.cleaning import clean
from transformer_e2e.runs.completion import Record, Status
from transformer_e2e.runs.durable import in_words
from transformer_e2e.runs.spec import TrialSpec
from transformer_e2e.runs.tracker import Session


def artifact_name(run_id: str) -> str:
    return f"model-{run_id}"


def needs_publishing(record: Record, spec: TrialSpec, *, online: bool) -> bool:
    """Whether a record is on its way to `cleaned` and this attempt may take it further."""
    if record.status is Status.TRAINED:
        return spec.upload and online
    return record.status is Status.UPLOADED and not spec.keep_local


def publish(
    record: Record,
    *,
    spec: TrialSpec,
    store: CheckpointStore,
    session: Session,
    poll: Callable[[], None],
    say: Callable[[str], None],
) -> Record:
    """Take the record as far as it goes: trained -> uploaded -> cleaned. Returns it as it then is.

    A kill between any two steps is repaired by calling this again. Raises TrackerError or CheckpointError
    when the copy could not be made or proven; local files are then all there. `poll` may raise to give up.
    """
    if record.status is Status.TRAINED:
        checkpoint = store.best()
        if checkpoint is None:
            return completion.write(spec.root, replace(record, status=Status.CLEANED))
        record = _upload_and_verify(record, checkpoint, store, spec, session, poll)
        say(f"uploaded and verified {record.artifact} ({len(record.digests)} files)")
    if needs_publishing(record, spec, online=session.online):
        before = record.freed_bytes
        record = clean(record, root=spec.root, store=store)
        say(f"deleted the local weights ({in_words(record.freed_bytes - before)})")
    return record


def _upload_and_verify(
    record: Record,
    checkpoint: Checkpoint,
    store: CheckpointStore,
    spec: TrialSpec,
    session: Session,
    poll: Callable[[], None],
) -> Record:
    digests = _selected(checkpoint, spec.artifact_files)
    reference = tracker_artifacts.upload(
        session,
        {name: checkpoint.directory / name for name in digests},
        name=artifact_name(spec.run_id),
        metadata={
            "run_id": spec.run_id,
            "step": checkpoint.step,
            "settings": dict(spec.counted),
            "metrics": record.metrics,
            "best_metric": record.best_metric,
            "sha256": digests,
        },
        poll=poll,
    )
    largest = max((checkpoint.directory / name).stat().st_size for name in digests)
    with store.room(largest, False):  # the copy comes back one file at a time
        wrong = tracker_artifacts.differing_files(
            session, reference, digests, beside=spec.directory, poll=poll
        )
    if wrong:
        raise TrackerError(f"{reference} differs from {checkpoint.directory} in {', '.join(wrong)}")
    return completion.write(
        spec.root, replace(record, status=Status.UPLOADED, artifact=reference, digests=digests)
    )


def _selected(checkpoint: Checkpoint, patterns: tuple[str, ...]) -> dict[str, str]:
    """Name -> SHA-256 of the files that make the uploaded model. Raises CheckpointError if one is lacking."""
    files = checkpoint.manifest.files
    lacking = [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in files)]
    if lacking:
        raise CheckpointError(
            f"{checkpoint.directory} has no {', '.join(lacking)}; it has {', '.join(files)}"
        )
    return {name: sha for name, sha in files.items() if any(fnmatch(name, item) for item in patterns)}
