"""Run a W&B sweep from its file to its best model, with no account and no internet if there is none.

example:
  python -m transformer_e2e.scripts.sweep sweeps/quickstart.yaml
  python -m transformer_e2e.scripts.sweep --sweep local/transformer-e2e/1a2b3c4d   (go on with one)

exit codes: 0 done and at least one trial finished; 1 the sweep did not get there; 2 wrong input;
130 Ctrl-C (running trials kept a checkpoint)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from transformer_e2e.errors import exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    args = build_parser().parse_args(argv)
    from transformer_e2e.launch.environment import load_dotenv
    from transformer_e2e.launch.run_sweep import SweepOrder, run_sweep

    load_dotenv()
    if args.print_spec:
        return exit_code_of(lambda: print_spec(args.spec, args.override))
    order = SweepOrder(
        spec=args.spec,
        override=args.override,
        sweep=args.sweep,
        agents=args.agents,
        count=args.count,
        root=args.root,
        project=args.project,
        entity=args.entity,
        sample=not args.no_sample,
        prompt=args.prompt,
        log_dir=args.log_dir,
        plot_dir=args.plot_dir,
        log_file=args.log_file,
    )
    return exit_code_of(lambda: run_sweep(order))


def print_spec(path: Path | None, override: Path | None) -> int:
    """For the bare `wandb sweep`, which takes one file, and numbers only where they are written as such."""
    import yaml

    from transformer_e2e.errors import ConfigError
    from transformer_e2e.launch.console import reader_may_leave, say_aside
    from transformer_e2e.launch.spec import load_spec

    if path is None:
        raise ConfigError("--print_spec needs a sweep file such as sweeps/quickstart.yaml")
    spec = load_spec(path, say_aside, override=override)
    with reader_may_leave():
        print(yaml.safe_dump(spec, sort_keys=False), end="")
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.scripts.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("spec", nargs="?", type=Path, help="a sweep file, e.g. sweeps/quickstart.yaml")
    parser.add_argument(
        "--override",
        metavar="FILE",
        type=Path,
        help="keys and parameters that count instead of the sweep file's, e.g. one of sweeps/offline/",
    )
    parser.add_argument(
        "--print_spec", action="store_true", help="print the sweep as one file for `wandb sweep`, then end"
    )
    parser.add_argument("--sweep", metavar="PATH", help="go on with this sweep: ENTITY/PROJECT/ID")
    parser.add_argument("--agents", type=int, help="`wandb agent` processes (default: one a core, at most 4)")
    parser.add_argument("--count", type=int, help="trials after which each agent leaves (default: no limit)")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("wandb_server"),
        help="folder of the embedded server, used when no W&B is configured (default: %(default)s)",
    )
    parser.add_argument("--project", help="W&B project (default: WANDB_PROJECT, the file's, transformer-e2e)")
    parser.add_argument("--entity", help="W&B entity (default: WANDB_ENTITY, else the key's own)")
    parser.add_argument("--no_sample", action="store_true", help="do not let the best model write at the end")
    parser.add_argument(
        "--prompt", default="Return a", help="what the sample continues (default: %(default)s)"
    )
    parser.add_argument(
        "--log_dir",
        type=Path,
        default=Path("logs"),
        help="what agents and trials print (default: %(default)s/ID)",
    )
    parser.add_argument(
        "--plot_dir", type=Path, default=Path("training_plots"), help="pictures (default: %(default)s/ID)"
    )
    parser.add_argument("--log_file", help="also write what is said here to this file (default: none)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
