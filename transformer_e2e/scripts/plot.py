"""Draw the pictures of a trial, or of a whole sweep, again: when it is over, or still at work.

What is on this disk is read from here, the rest is asked of W&B: so a sweep whose trials ran on
other machines can be looked at from any of them.

example:
  python -m transformer_e2e.scripts.plot single_bs8   (a trial: any unique beginning of its run ID)
  python -m transformer_e2e.scripts.plot local/transformer-e2e/1a2b3c4d   (a sweep, on one page)

exit codes: 0 drawn; 1 there is nothing to draw yet; 2 wrong input
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from transformer_e2e.errors import CheckpointError, TrackerError, UserError, exit_code_of
from transformer_e2e.launch.afterwards import manage_command
from transformer_e2e.launch.console import open_console
from transformer_e2e.launch.environment import DEFAULT_PROJECT, load_dotenv


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    load_dotenv()
    return exit_code_of(lambda: draw(args, open_console()))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.scripts.plot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="RUN_ID|SWEEP", help="a run ID, or ENTITY/PROJECT/SWEEP_ID")
    parser.add_argument(
        "--plot_dir", type=Path, default=Path("training_plots"), help="pictures [%(default)s]"
    )
    parser.add_argument(
        "--checkpoint_dir", type=Path, default=Path("model_checkpoints"), help="trials [%(default)s]"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("wandb_server"), help="folder of the embedded server [%(default)s]"
    )
    parser.add_argument("--project", help="W&B project [WANDB_PROJECT, else transformer-e2e]")
    parser.add_argument("--entity", help="W&B entity [WANDB_ENTITY, else the key's own]")
    return parser


def draw(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """A name with a slash is a sweep; any other is a trial on this disk, else a trial or a sweep on W&B."""
    from transformer_e2e.launch.server import connected
    from transformer_e2e.runs.identity import find, known_run_ids

    if "/" not in args.name and any(
        name.startswith(args.name) for name in known_run_ids(args.checkpoint_dir)
    ):
        return _local_trial(args, find(args.name, args.checkpoint_dir), say)
    with connected(args.root):
        if "/" in args.name:
            return _sweep(args, say)
        return _remote(args, say)


def _local_trial(args: argparse.Namespace, run_id: str, say: Callable[[str], None]) -> int:
    from transformer_e2e.launch.pictures import draw_trial

    return _said(args, draw_trial(args.checkpoint_dir, run_id, args.plot_dir), run_id, say)


def _remote(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """A trial by what its run is called on W&B, or else a sweep by its short name."""
    from transformer_e2e.launch.pictures import remote_history
    from transformer_e2e.plots.trial import plot_trial
    from transformer_e2e.runs.tracker_connection import Connection
    from transformer_e2e.runs.tracker_queries import find_runs

    project = args.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
    entity = args.entity or os.environ.get("WANDB_ENTITY") or Connection.configured().viewer()
    found = {run.display_name: run for run in reversed(find_runs(args.name, project=project, entity=entity))}
    if len(found) > 1:
        raise UserError(
            f"{args.name!r} begins {len(found)} run IDs; give more of it:\n  " + "\n  ".join(sorted(found))
        )
    if not found:
        try:
            return _sweep(args, say)
        except TrackerError:
            raise CheckpointError(
                f"{args.name!r} is no trial below {args.checkpoint_dir}, and no trial or sweep of "
                f"{entity}/{project} on W&B; to see what there is: "
                f"python scripts/manage_completed_runs.py list"
            ) from None
    (run,) = found.values()
    say(f"{run.display_name} is not on this disk; its history comes from W&B")
    history = remote_history(run, entity=entity, project=project)
    return _said(args, plot_trial(history, args.plot_dir / f"{history.run_id}.png"), history.run_id, say)


def _sweep(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    from transformer_e2e.launch.spec import metric_of
    from transformer_e2e.launch.sweep import SweepPath
    from transformer_e2e.launch.sweep_pictures import picture_sweep
    from transformer_e2e.launch.trials import rows_of
    from transformer_e2e.runs.tracker_connection import Connection
    from transformer_e2e.runs.tracker_queries import sweep_state

    entity = args.entity or os.environ.get("WANDB_ENTITY")
    if args.name.count("/") < 2 and entity is None:
        entity = Connection.configured().viewer()
    project = args.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
    path = SweepPath.parse(args.name, entity=entity, project=project)
    view = sweep_state(str(path))
    rows = rows_of(view, metric_of(view.config)[0])
    return 0 if picture_sweep(path, view.config, rows, args.plot_dir, say) else 1


def _said(args: argparse.Namespace, picture: Path | None, run_id: str, say: Callable[[str], None]) -> int:
    if picture is None:
        say(f"{run_id} has logged no loss yet: there is nothing to draw")
        return 1
    say(f"picture: {picture}")
    say(f"next: {shlex.join(manage_command(args.checkpoint_dir, 'status', run_id))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
