"""List, show and forget trials.

They are looked up in the completion records, then in the local directories; `status` then asks W&B.

examples:
  python scripts/manage_completed_runs.py list
  python scripts/manage_completed_runs.py list --sort ended --outcome pruned,diverged
  python scripts/manage_completed_runs.py status "single_bs8_cw128_lr2e-02"
  python scripts/manage_completed_runs.py clear  "single_bs8_cw128_lr2e-02"
  python scripts/manage_completed_runs.py clear  --failed --dry_run

A run ID may be any beginning that is unique.
exit codes: 0 done, 2 no such trial, several trials, not confirmed, or wrong use
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, Python sees only scripts/

from transformer_e2e.config.wording import several
from transformer_e2e.errors import (
    CheckpointError,
    ConfigError,
    TrackerError,
    UserError,
    exit_code_of,
    nearest,
)
from transformer_e2e.launch.console import reader_may_leave
from transformer_e2e.runs import clearing, listing
from transformer_e2e.runs.budget import holdings, last_limit
from transformer_e2e.runs.checkpoints import newest_step
from transformer_e2e.runs.completion import Ending, Record, records
from transformer_e2e.runs.durable import in_words
from transformer_e2e.runs.identity import UnknownTrial, find, known_run_ids
from transformer_e2e.runs.lock import is_held

SHOWN_UNFINISHED = 5


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    with reader_may_leave():
        return exit_code_of(lambda: args.run(args))
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python scripts/manage_completed_runs.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_folder(parser, default=Path("model_checkpoints"), help="folder of trials [%(default)s]")
    commands = parser.add_subparsers(required=True, metavar="list | status | clear")

    command = commands.add_parser("list", help="one line a trial that is done, the best first")
    command.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    command.add_argument("--sort", choices=listing.ORDERS, default="metric", help="[%(default)s]")
    command.add_argument("--outcome", help=f"only these, with commas: {', '.join(Ending)}")
    command.set_defaults(run=run_list)

    command = commands.add_parser("status", help="everything known about one trial, also while it trains")
    command.add_argument("run_id", help="a run ID, or any unique beginning of one")
    command.add_argument("--json", action="store_true", help="a JSON object")
    command.add_argument("--project", help="W&B project to ask [WANDB_PROJECT, else transformer-e2e]")
    command.add_argument("--entity", help="W&B entity to ask [WANDB_ENTITY, else the key's own]")
    command.set_defaults(run=run_status)

    command = commands.add_parser("clear", help="forget trials, so that their next start begins at step 0")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("run_id", nargs="?", help="a run ID, or any unique beginning of one")
    which.add_argument(
        "--failed",
        action="store_true",
        help="all that diverged, have a damaged record, or whose attempts all ended in an error",
    )
    which.add_argument("--all", action="store_true", help="all but those in training")
    command.add_argument("--yes", action="store_true", help="do not ask")
    command.add_argument("--dry_run", action="store_true", help="show what would go, and end")
    command.set_defaults(run=run_clear)
    for command in commands.choices.values():  # people write it there, too
        _add_folder(command, default=argparse.SUPPRESS, help="folder of trials [model_checkpoints]")
    return parser


def _add_folder(parser: argparse.ArgumentParser, **facts: Any) -> None:
    parser.add_argument("--checkpoint_dir", type=Path, metavar="FOLDER", **facts)


def run_list(args: argparse.Namespace) -> int:
    root = args.checkpoint_dir
    done = records(root)
    best = listing.best_run_ids(done)
    shown = listing.ordered([item for item in done if item.outcome in _outcomes(args.outcome)], args.sort)
    if args.json:
        for record in shown:
            facts = {"hours": round(record.seconds / 3600, 4), "best": record.run_id in best}
            print(json.dumps({**asdict(record), **facts}))
        return 0
    if shown:
        print("\n".join(listing.table(shown, best=best, width=_width())))
        print("\n" + "\n".join(listing.totals(shown, best)))
    else:
        print(_nothing_done(root, done))
    print("\n".join([*_unfinished(root, {record.run_id for record in done}), _space(root)]))
    return 0


def run_status(args: argparse.Namespace) -> int:
    from transformer_e2e.runs import overview
    from transformer_e2e.runs.status_text import status_lines

    try:
        status = overview.status(args.checkpoint_dir, find(args.run_id, args.checkpoint_dir))
    except UnknownTrial as unknown:
        return _status_on_wandb(args, unknown)
    if args.json:
        print(json.dumps(status.as_json(), indent=2))
    else:
        print("\n".join(status_lines(status, width=_width() or 110)))
    return 0


def run_clear(args: argparse.Namespace) -> int:
    root = args.checkpoint_dir
    if args.run_id is not None:
        chosen = [find(args.run_id, root)]
        if args.dry_run:
            return _show(root, chosen)
        print("\n".join([*clearing.clear(root, chosen[0]), "its next start begins at step 0"]))
        return 0
    chosen = clearing.failed(root) if args.failed else known_run_ids(root)
    living = clearing.living(root, chosen)
    chosen = [run_id for run_id in chosen if run_id not in living]
    _show(root, chosen)
    if living:
        print(f"in training, so not touched: {', '.join(living)}")
    if args.dry_run or not chosen:
        return 0
    if not (args.yes or _confirmed(len(chosen))):
        print("nothing was removed")
        return 2
    for run_id in chosen:
        try:
            print("\n".join(clearing.clear(root, run_id)))
        except CheckpointError as error:  # somebody has just begun to work on it
            print(error)
    print("the next start of each begins at step 0")
    return 0


def _nothing_done(root: Path, done: Sequence[Record]) -> str:
    if known_run_ids(root):
        way = " that way" if done else ""
        return f"no trial below {root} is done{way} yet; `status RUN_ID` shows any other"
    there = f"{root} holds no trial" if root.is_dir() else f"there is no folder {root}"
    return (
        f"{there} yet; a training makes one: "
        f"python -m transformer_e2e.scripts.train --config transformer_e2e/configs/config.yml"
    )


def _outcomes(given: str | None) -> set[str]:
    names = {name.strip() for name in given.split(",")} if given else {str(item) for item in Ending}
    known = [str(item) for item in Ending]
    ConfigError.raise_if(
        [
            f"--outcome={name} is not one of {', '.join(known)}{nearest(name, known)}"
            for name in sorted(names - set(known))
        ],
        title="cannot list",
    )
    return names


def _width() -> int | None:
    """Of the terminal [characters], or of COLUMNS; None where the output goes to a file or a pipe."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def _unfinished(root: Path, done: set[str]) -> list[str]:
    """The trials without a record, those in training first."""
    others = [run_id for run_id in known_run_ids(root) if run_id not in done and (root / run_id).is_dir()]
    if not others:
        return []
    living = {run_id for run_id in others if is_held(root / run_id)}
    lines = [f"not over: {len(others)}, {len(living)} of them in training now (`status RUN_ID` tells more)"]
    for run_id in sorted(others, key=lambda name: (name not in living, name))[:SHOWN_UNFINISHED]:
        step = newest_step(root / run_id)
        saved = "no checkpoint" if step is None else f"checkpoint of step {step}"
        lines.append(f"  {run_id}  {'in training, ' if run_id in living else ''}{saved}")
    return lines + (["  ..."] if len(others) > SHOWN_UNFINISHED else [])


def _space(root: Path) -> str:
    held = in_words(sum(holdings(root).values()))
    limit = last_limit(root)
    return f"{root} holds {held}" + (f" of its --disk_budget of {in_words(limit)}" if limit else "")


def _status_on_wandb(args: argparse.Namespace, unknown: UnknownTrial) -> int:
    """What W&B knows of a trial that is not on this disk."""
    from transformer_e2e.config.model_choice import ModelChoice
    from transformer_e2e.launch.environment import load_dotenv
    from transformer_e2e.launch.tracked_trial import Tracker
    from transformer_e2e.runs.status_text import remote_lines

    load_dotenv()
    with ExitStack() as stack:
        tracker = Tracker(ModelChoice(project=args.project, entity=args.entity), stack)
        try:
            tracker.connect()
            runs = tracker.runs_of(args.run_id, entity=tracker.entity, project=tracker.project)
        except TrackerError as error:
            raise UserError(f"{unknown}; and W&B could not be asked: {error}") from None
    where = f"{tracker.entity}/{tracker.project}"
    if not runs:
        raise UserError(f"{unknown}; {where} on W&B has no run of it either")
    if args.json:
        print(json.dumps([asdict(run) for run in runs], indent=2))
    else:
        print("\n".join(remote_lines(runs[0], others=len(runs) - 1, where=where, width=_width() or 110)))
    return 0


def _show(root: Path, run_ids: Sequence[str]) -> int:
    """What clearing would remove."""
    found = [clearing.belongings(root, run_id) for run_id in run_ids]
    for item in found:
        print(f"would remove {item.run_id}, {item.words}")
    total = in_words(sum(item.bytes for item in found))
    print(f"{_trials(len(found))}, {total} in {root}; artifacts and W&B runs stay")
    return 0


def _trials(count: int) -> str:
    return several(count, "trial") if count else "no trials"


def _confirmed(count: int) -> bool:
    """Ask, where there is somebody to ask. Raises ConfigError where there is not."""
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here, so nothing was removed; add --yes, or see --dry_run")
    try:
        return input(f"remove {_trials(count)}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main())
