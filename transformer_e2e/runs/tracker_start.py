"""A W&B run begun, continued, and begun once more when the client's helper process has died."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_e2e.errors import TrackerError
from transformer_e2e.runs.background import in_background

if TYPE_CHECKING:
    import wandb

X_AXIS = "train/global_step"
FINISH_SECONDS = 60.0
_LET_GO_SECONDS = 5.0
_AGAIN_SECONDS = 15.0  # for a new client to reach W&B; training waits


@dataclass(frozen=True, kw_only=True)
class SessionRequest:
    """Which W&B run to open. `fresh`: whatever the run holds is dropped, rows begin at 0."""

    wandb_id: str
    run_id: str
    project: str | None
    entity: str | None
    config: Mapping[str, Any]
    fresh: bool


def start_run(request: SessionRequest, on_stop: Callable[[], None]) -> wandb.Run:
    """`on_stop` is called from another thread when somebody presses stop on W&B's page. Raises TrackerError
    if W&B refuses the run, or its client fails; W&B may have made the run then."""
    import wandb

    if wandb.run is not None:
        raise RuntimeError("a W&B run is open already; one process works on one trial")
    try:
        return _begun(request, on_stop, resume=None if request.fresh else "allow")
    except (wandb.errors.Error, ValueError, TimeoutError) as error:
        raise TrackerError(f"W&B refused to start the run {request.wandb_id}: {error}") from None
    except Exception as error:
        let_go()
        raise TrackerError(
            f"W&B's client failed at the start of the run {request.wandb_id} ({type(error).__name__}: "
            f"{error}); give the same command again"
        ) from None


def start_again(request: SessionRequest, on_stop: Callable[[], None]) -> wandb.Run:
    """The same run by a new client; its `starting_step` says which rows W&B holds. Raises what W&B raises."""
    let_go()
    return _begun(request, on_stop, resume="allow", reinit="create_new", init_timeout=_AGAIN_SECONDS)


def let_go() -> None:
    """End a client whose helper process has died; else it fails once more, aloud, when the process ends."""
    import wandb

    with contextlib.suppress(Exception):
        in_background(wandb.teardown, seconds=_LET_GO_SECONDS)


def _begun(
    request: SessionRequest,
    on_stop: Callable[[], None],
    *,
    resume: Any,
    reinit: Any = None,
    **settings: Any,
) -> wandb.Run:
    import wandb

    run = wandb.init(
        id=request.wandb_id,
        resume=resume,
        reinit=reinit,
        name=request.run_id,
        project=request.project,
        entity=request.entity,
        config={**request.config, "run_id": request.run_id},
        settings=wandb.Settings(
            x_file_stream_transmit_interval=1,  # a sweep can only stop a bad trial that it hears of
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
            stop_fn=on_stop,  # W&B's default is a SIGINT, which would look like Ctrl-C
            **settings,
        ),
    )
    run.define_metric(X_AXIS)
    run.define_metric("*", step_metric=X_AXIS)
    return run
