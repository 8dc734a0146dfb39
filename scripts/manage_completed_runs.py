"""List, show and forget trials. Nothing here asks W&B: records and directories on this disk are read.

examples:
  python scripts/manage_completed_runs.py list
  python scripts/manage_completed_runs.py status "single_bs8_cw128_lr4e-03"
  python scripts/manage_completed_runs.py clear  "single_bs8_cw128_lr4e-03"

exit codes: 0 done, 2 no such trial, several trials, or wrong use
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, Python sees only scripts/

from transformer_e2e.errors import exit_code_of
from transformer_e2e.runs import overview
from transformer_e2e.runs.completion import records


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    return exit_code_of(lambda: args.run(args))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python scripts/manage_completed_runs.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoint_dir",
        type=Path,
        default=Path("model_checkpoints"),
        help="folder of trials [%(default)s]",
    )
    commands = parser.add_subparsers(required=True, metavar="list | status | clear")

    command = commands.add_parser("list", help="one line a trial that is done")
    command.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    command.set_defaults(run=run_list)

    command = commands.add_parser("status", help="everything known about one trial")
    command.add_argument("run_id", help="a run ID, or any unique beginning of one")
    command.add_argument("--json", action="store_true", help="a JSON object")
    command.set_defaults(run=run_status)

    command = commands.add_parser("clear", help="forget one trial, so that its next start begins at step 0")
    command.add_argument("run_id", help="a run ID, or any unique beginning of one")
    command.set_defaults(run=run_clear)
    return parser


def run_list(args: argparse.Namespace) -> int:
    found = records(args.checkpoint_dir)
    if args.json:
        for record in found:
            print(json.dumps(asdict(record)))
    elif found:
        print("\n".join(overview.table(found)))
    else:
        print(f"no trial below {args.checkpoint_dir} is done yet; `status RUN_ID` shows one that is training")
    return 0


def run_status(args: argparse.Namespace) -> int:
    status = overview.status(args.checkpoint_dir, args.run_id)
    print(json.dumps(status.as_json(), indent=2) if args.json else "\n".join(status.lines()))
    return 0


def run_clear(args: argparse.Namespace) -> int:
    print("\n".join(overview.clear(args.checkpoint_dir, args.run_id)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
