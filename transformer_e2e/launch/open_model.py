"""A trained model in memory, from a checkpoint directory or from an artifact, with its digests compared."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_e2e.errors import CheckpointError, DataError, UserError
from transformer_e2e.runs.checkpoints import list_checkpoints
from transformer_e2e.runs.config_file import CONFIG_NAME
from transformer_e2e.runs.manifest import MANIFEST_NAME, Manifest, file_digest, read_manifest

if TYPE_CHECKING:
    from transformer_e2e.data.tokenizer import Tokenizer
    from transformer_e2e.model.decoder import Decoder

# What a model needs to be used again; the rest of a checkpoint is only for going on with its training.
ARTIFACT_FILES = ("model.safetensors", "model.json", "tokenizer/*", "settings.json")
_ROUNDS = 3  # a trial in training may drop a checkpoint while it is read; the next one is there by then

Say = Callable[[str], None]


@dataclass
class OpenModel:
    """A model in memory, and where it comes from."""

    model: Decoder
    tokenizer: Tokenizer
    settings: dict[str, Any]  # those that decided the training, from the checkpoint; {} if it names none
    weights: str  # where they are, in words
    run_id: str | None = None  # None: a directory that does not say
    step: int | None = None
    hyperparameters: str = "the checkpoint"  # where they were read, in words
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """One line for people."""
        shape = self.model.shape
        step = "" if self.step is None else f", step {self.step}"
        return (
            f"model: {self.run_id or 'unnamed'}{step}; {shape.num_layers} layers, width {shape.model_dim}, "
            f"context {shape.context_window}; hyperparameters: {self.hyperparameters}; "
            f"weights: {self.weights}"
        )


def newest_usable(directory: Path, device: str, say: Say) -> OpenModel | None:
    """The trial's best checkpoint, else its newest that verifies and loads; None if all vanished."""
    problems: list[str] = []
    for _ in range(_ROUNDS):
        paths = _best_first(list_checkpoints(directory))
        for path in paths:
            try:
                return from_directory(path, device, say)
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


def from_directory(directory: Path, device: str, say: Say) -> OpenModel:
    """A checkpoint, a folder with a model's files, or a trial's directory."""
    if not (directory / "model.json").is_file():
        if list_checkpoints(directory) and (found := newest_usable(directory, device, say)):
            return found
        raise CheckpointError(
            f"{directory} holds no model (no model.json); a checkpoint looks like "
            "model_checkpoints/<run_id>/best"
        )
    where = directory.resolve() if directory.is_symlink() else directory
    shown = directory.parent / where.name
    if not (directory / MANIFEST_NAME).exists():
        return _load(where, device, f"{shown}, without a manifest to check it by")
    manifest = read_manifest(where)
    _verify(where, {name: sha for name, sha in manifest.files.items() if _is_needed(name)})
    kind = "best" if manifest.best else "newest"
    found = _load(where, device, f"{kind} local checkpoint {shown}, digests verified")
    found.step, found.run_id = manifest.step, _owner(where.parent)
    return found


def from_artifact(reference: str, digests: Mapping[str, str] | None, device: str) -> OpenModel:
    """The artifact's model; compared with `digests`, else with those that its metadata names."""
    from transformer_e2e.runs.tracker_artifacts import download

    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        fetched = download(reference, Path(folder))
        expected = digests or fetched.metadata.get("sha256") or {}
        _verify(fetched.directory, expected)
        checked = f"{len(expected)} digests verified" if expected else "which names no digests"
        found = _load(fetched.directory, device, f"artifact {fetched.reference}, {checked}")
    found.run_id, found.step = fetched.metadata.get("run_id"), fetched.metadata.get("step")
    found.hyperparameters = "the artifact"
    return found


def _load(directory: Path, device: str, weights: str) -> OpenModel:
    from transformer_e2e.data.tokenizer import load_tokenizer
    from transformer_e2e.model.files import load_model

    model, tokenizer = load_model(directory, device), load_tokenizer(directory / "tokenizer")
    if tokenizer.vocab_size != model.shape.vocab_size:
        raise DataError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} ids and the model "
            f"{model.shape.vocab_size}; they belong to different trainings"
        )
    tokenizer.encode("a")  # reads what some tokenizers leave for later, while the files are there
    return OpenModel(model, tokenizer, _settings(directory / "settings.json"), weights)


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


def _is_needed(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in ARTIFACT_FILES)


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}


def _owner(trial: Path) -> str | None:
    """The run ID in a trial's directory."""
    try:
        return str(json.loads((trial / CONFIG_NAME).read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
