"""Apply a trained Hugging Face model to texts: labels with confidences, answers, filled masks, ...

The model is a run's (--run_id), a checkpoint's or an artifact's; without any, that of the newest
run of train_hf that is done. A local checkpoint is used if there is one, else the artifact is
fetched; which one is said on standard error. Predictions go to standard output, each batch when
it is done, in the order of the inputs. A model of two texts (premise and hypothesis, question and
context) takes them in turn. Inputs of which it read only the start are counted at the end, and
marked "truncated" with --json.

examples:
  python -m transformer_e2e.scripts.infer --run_id single_bs16 "Return the list." "Open a socket."
  python -m transformer_e2e.scripts.infer --run_id tune_16 --file asked.csv --json > answers.jsonl
  python -m transformer_e2e.scripts.infer --run_id tune_16 --context "$(cat page.txt)" "What is it?"

exit codes: 0 done, 2 wrong input or no such model, 130 Ctrl-C
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from transformer_e2e.config.parse import add_settings, resolve_use, with_values
from transformer_e2e.config.use import InferenceSettings
from transformer_e2e.errors import exit_code_of
from transformer_e2e.launch.console import reader_may_leave, say_aside
from transformer_e2e.launch.environment import load_dotenv


def main(argv: Sequence[str] | None = None) -> int:
    given = with_values(sys.argv[1:] if argv is None else argv, InferenceSettings)
    args, unknown = build_parser().parse_known_intermixed_args(given)
    flags = vars(args)
    if texts := flags.pop("texts"):
        flags["text"] = [*flags.get("text", []), *texts]
    load_dotenv()
    return exit_code_of(lambda: infer(resolve_use(InferenceSettings, flags, unknown)))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.scripts.infer",
        usage="%(prog)s [--SETTING VALUE ...] [TEXT ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="what the model is applied to [a file, else standard input]"
    )
    add_settings(parser, {"inference": InferenceSettings})
    return parser


def infer(settings: InferenceSettings) -> int:
    """Write the predictions to standard output. Returns 0."""
    from transformer_e2e.launch.hf_model import HF_MODEL
    from transformer_e2e.launch.inference import write_predictions
    from transformer_e2e.launch.inputs import batches
    from transformer_e2e.launch.open_model import open_model

    with open_model(settings, HF_MODEL, say_aside) as opened:
        inputs = batches(settings, opened.pipeline.schema, say_aside)
        with reader_may_leave():
            write_predictions(inputs, opened, settings, sys.stdout, say_aside)
    return 0


if __name__ == "__main__":
    sys.exit(main())
