"""Judge a trained Hugging Face model on any examples: the metrics of its task, as a table or as JSON.

The model is a run's (RUN_ID), a checkpoint's or an artifact's; without any, that of the newest
run of train_hf that is done. A local checkpoint is used if there is one, else the artifact is
fetched; which one is said on standard error, the metrics go to standard output. Without
--dataset_name and --data_file the examples are those that the training was judged on.

examples:
  python -m transformer_e2e.scripts.evaluate single_bs16 --split test
  python -m transformer_e2e.scripts.evaluate single_bs16 --data_file my.csv \\
      --label_column_name stars
  python -m transformer_e2e.scripts.evaluate --artifact model-<run_id>:best --dataset_name glue \\
      --dataset_config_name sst2 --json

exit codes: 0 done, 2 wrong input or no such model, 130 Ctrl-C
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence

from transformer_e2e.config.parse import add_settings, resolve_use, with_values
from transformer_e2e.config.use import EvaluationSettings
from transformer_e2e.errors import exit_code_of
from transformer_e2e.launch.console import say_aside
from transformer_e2e.launch.environment import load_dotenv


def main(argv: Sequence[str] | None = None) -> int:
    given = with_values(sys.argv[1:] if argv is None else argv, EvaluationSettings)
    args, unknown = build_parser().parse_known_intermixed_args(given)
    flags = vars(args)
    if (run := flags.pop("run")) is not None:
        unknown = [*unknown, *([run] if "run_id" in flags else [])]
        flags.setdefault("run_id", run)
    load_dotenv()
    return exit_code_of(lambda: evaluate(resolve_use(EvaluationSettings, flags, unknown)))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.scripts.evaluate",
        usage="%(prog)s [RUN_ID] [--SETTING VALUE ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", nargs="?", metavar="RUN_ID", help="the same as --run_id")
    add_settings(parser, {"evaluation": EvaluationSettings})
    return parser


def evaluate(settings: EvaluationSettings) -> int:
    """Write the metrics to standard output. Returns 0."""
    from transformer_e2e.launch.evaluation import evaluate_model
    from transformer_e2e.launch.hf_model import HF_MODEL
    from transformer_e2e.launch.open_model import open_model
    from transformer_e2e.launch.samples import uses

    with open_model(settings, HF_MODEL, say_aside) as opened:
        found = evaluate_model(opened, settings, say_aside)
    print(json.dumps(found.as_json(), indent=2) if settings.json else found.table(), flush=True)
    say_aside(f"next: {shlex.join(['python', *uses({'task': found.task}, settings.flags())[0]])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
