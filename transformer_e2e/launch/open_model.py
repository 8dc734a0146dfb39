"""A trained model in memory, from a checkpoint directory or from an artifact, with its digests compared."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from transformer_e2e.data.schema import SCHEMA
from transformer_e2e.errors import CheckpointError, UserError
from transformer_e2e.runs.checkpoints import list_checkpoints
from transformer_e2e.runs.completion import Record
from transformer_e2e.runs.config_file import CONFIG_NAME, known_settings
from transformer_e2e.runs.manifest import MANIFEST_NAME, Manifest, file_digest, read_manifest

_ROUNDS = 3  # a trial in training may drop a checkpoint while it is read; the next one is there by then

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Found:
    """A model in memory, and where it comes from."""

    settings: dict[str, Any]  # those that decided the training, as far as they are known
    weights: str  # where they are, in words
    run_id: str | None = None  # None: a directory that does not say
    step: int | None = None
    hyperparameters: str = "the checkpoint"  # where they were read, in words
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """One line for people."""
        step = "" if self.step is None else f", step {self.step}"
        return f"model: {self.run_id or 'unnamed'}{step}; {self.shape()}; weights: {self.weights}"

    def shape(self) -> str:
        """What kind of model it is, in words."""
        raise NotImplementedError


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Family:
    """The models of one of the two training programs, as the commands for the other ones see them."""

    name: str
    marker: str  # a file that their checkpoints have, and those of the other family have not
    has_schema: bool  # whether their completion records carry a schema
    training: str  # a command that makes one
    using: str  # the command that uses one

    def owns(self, record: Record) -> bool:
        return (record.schema is not None) is self.has_schema


FROM_SCRATCH = Family(
    name="a from-scratch decoder",
    marker="model.json",
    has_schema=False,
    training="python -m transformer_e2e.scripts.train --config transformer_e2e/configs/config.yml",
    using="python -m transformer_e2e.scripts.generate",
)
HUGGING_FACE = Family(
    name="a Hugging Face model",
    marker=SCHEMA,
    has_schema=True,
    training="python -m transformer_e2e.scripts.train_hf --task classification",
    using="python -m transformer_e2e.scripts.infer",
)


@dataclass(frozen=True)
class Kind(Generic[F]):
    """How the models of a family are loaded."""

    family: Family
    load: Callable[[Path, str, str], F]  # directory, device, weights in words -> model
    is_needed: Callable[[str], bool]  # whether a file belongs to the model, and not only to its training
    compared: bool  # whether its settings are compared with those that W&B has

    @property
    def other(self) -> Family:
        return FROM_SCRATCH if self.family is HUGGING_FACE else HUGGING_FACE


class OtherFamily(CheckpointError):
    """There is a model, but it is one for another command."""

    def __init__(self, which: str, flags: str, family: Family) -> None:
        super().__init__(f"{which} is {family.name}; use it with: {family.using} {flags}")


def newest_usable(directory: Path, kind: Kind[F], device: str, say: Say) -> F | None:
    """The trial's best checkpoint, else its newest that verifies and loads; None if all vanished.

    Raises CheckpointError: none can be used. Raises OtherFamily.
    """
    problems: list[str] = []
    for _ in range(_ROUNDS):
        paths = _best_first(list_checkpoints(directory))
        for path in paths:
            try:
                return from_directory(path, kind, device, say)
            except OtherFamily:
                raise
            except (UserError, OSError) as error:
                if path.is_dir():
                    problems.append(f"{path}: {error}")
                    say(f"skipping the checkpoint {path}: {error}")
        if all(path.is_dir() for path in paths):
            break
    if problems:
        raise CheckpointError(f"no checkpoint of {directory} can be used; the reasons are above")
    return None


def _best_first(paths: list[Path]) -> list[Path]:
    """Newest first, but the newest of those that were the best when they were made before all others."""
    best = next((path for path in paths if (found := _manifest(path)) and found.best), None)
    return paths if best is None else [best, *(path for path in paths if path != best)]


def _manifest(directory: Path) -> Manifest | None:
    try:
        return read_manifest(directory)
    except CheckpointError:
        return None


def from_directory(directory: Path, kind: Kind[F], device: str, say: Say) -> F:
    """A checkpoint, a folder with a model's files, or a trial's directory. Raises UserError."""
    if not (directory / kind.family.marker).is_file():
        if list_checkpoints(directory) and (found := newest_usable(directory, kind, device, say)):
            return found
        if (directory / kind.other.marker).is_file():
            raise OtherFamily(str(directory), f"--checkpoint {directory}", kind.other)
        if not directory.is_dir():
            raise CheckpointError(
                f"there is no folder {directory}; a checkpoint is one such as model_checkpoints/<run_id>/best"
            )
        raise CheckpointError(
            f"{directory} holds no model (no {kind.family.marker}); a checkpoint looks like "
            "model_checkpoints/<run_id>/best"
        )
    where = directory.resolve() if directory.is_symlink() else directory
    shown = directory.parent / where.name
    if not (directory / MANIFEST_NAME).exists():
        return kind.load(where, device, f"{shown}, without a manifest to check it by")
    manifest = read_manifest(where)
    _verify(where, {name: sha for name, sha in manifest.files.items() if kind.is_needed(name)})
    best = "best" if manifest.best else "newest"
    found = kind.load(where, device, f"{best} local checkpoint {shown}, digests verified")
    found.step, found.run_id = manifest.step, _owner(where.parent)
    found.settings = found.settings or known_settings(where.parent)
    return found


def from_artifact(reference: str, digests: Mapping[str, str] | None, kind: Kind[F], device: str) -> F:
    """The artifact's model; compared with `digests`, else with those that its metadata names.

    Raises UserError: W&B has none, or hands out other bytes. Raises OtherFamily.
    """
    from transformer_e2e.runs.tracker_artifacts import download

    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        fetched = download(reference, Path(folder))
        expected = digests or fetched.metadata.get("sha256") or {}
        _verify(fetched.directory, expected)
        if (fetched.directory / kind.other.marker).is_file():
            raise OtherFamily(fetched.reference, f"--artifact {fetched.reference}", kind.other)
        checked = f"{len(expected)} digests verified" if expected else "which names no digests"
        found = kind.load(fetched.directory, device, f"artifact {fetched.reference}, {checked}")
    found.run_id, found.step = fetched.metadata.get("run_id"), fetched.metadata.get("step")
    found.settings = found.settings or dict(fetched.metadata.get("settings") or {})
    found.hyperparameters = "the artifact"
    return found


def _verify(directory: Path, expected: Mapping[str, str]) -> None:
    """Raises CheckpointError naming every file that is missing, or not what was written."""
    problems = []
    for name, sha in expected.items():
        path = directory / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif file_digest(path) != sha:
            problems.append(f"{name} does not have the digest that was written")
    if problems:
        raise CheckpointError(f"{directory} is damaged: {'; '.join(problems)}")


def _owner(trial: Path) -> str | None:
    """The run ID in a trial's directory."""
    try:
        return str(json.loads((trial / CONFIG_NAME).read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
