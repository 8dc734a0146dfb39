"""Where a trial's model is now: a checkpoint on this disk, or the artifact that it became."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transformer_e2e.config.generation import GenerationSettings
from transformer_e2e.errors import CheckpointError, ConfigError
from transformer_e2e.launch.server import connected


@contextmanager
def model_directory(settings: GenerationSettings, say: Callable[[str], None]) -> Iterator[Path]:
    """A directory that holds the model's files, for the length of the block.

    The settings name a checkpoint, an artifact or a run ID; with none of them it is the newest trial
    that is done. A local checkpoint is used in place, an artifact is fetched into a directory that is
    deleted afterwards. Raises UserError: several named, nothing there, W&B refuses.
    """
    named = {
        name: value
        for name in ("run_id", "checkpoint", "artifact")
        if (value := getattr(settings, name)) is not None
    }
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in named)} name two models; keep one of them")
    if settings.checkpoint is not None:
        yield _checked(Path(settings.checkpoint))
    elif settings.artifact is not None:
        with _fetched(settings.artifact, say) as directory:
            yield directory
    else:
        with _of_trial(settings, say) as directory:
            yield directory


@contextmanager
def _of_trial(settings: GenerationSettings, say: Callable[[str], None]) -> Iterator[Path]:
    from transformer_e2e.runs import completion, identity

    root = Path(settings.checkpoint_dir)
    run_id = identity.find(settings.run_id, root) if settings.run_id is not None else _newest(root)
    local = root / run_id / "best"
    if not local.is_dir():
        local = root / run_id / "latest"
    if local.is_dir():
        say(f"model: {local} -> {local.resolve().name}")
        yield local
        return
    record = completion.read(root, run_id)
    if record is None or record.artifact is None:
        raise CheckpointError(
            f"trial {run_id} has neither a local checkpoint nor an artifact; train it first, or list what "
            "there is: python scripts/manage_completed_runs.py list"
        )
    with _fetched(record.artifact, say) as directory:
        yield directory


@contextmanager
def _fetched(reference: str, say: Callable[[str], None]) -> Iterator[Path]:
    from transformer_e2e.runs.tracker_artifacts import download

    with connected(), tempfile.TemporaryDirectory(prefix="model-") as folder:
        say(f"model: artifact {reference}")
        yield _checked(download(reference, Path(folder)))


def _newest(root: Path) -> str:
    from transformer_e2e.runs.completion import Ending, records

    usable = [record for record in records(root) if record.outcome in (Ending.FINISHED, Ending.EARLY_STOPPED)]
    if not usable:
        raise CheckpointError(
            f"no trial below {root} is done; train one first: python -m transformer_e2e.scripts.train "
            "--config transformer_e2e/configs/config.yml"
        )
    return usable[-1].run_id


def _checked(directory: Path) -> Path:
    if not (directory / "model.json").is_file():
        raise CheckpointError(
            f"{directory} holds no model (no model.json); a checkpoint looks like "
            "model_checkpoints/<run_id>/best"
        )
    return directory
