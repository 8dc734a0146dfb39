"""Continue texts with a trained model: from its local checkpoint, else from its artifact on W&B.

Without --run_id, --checkpoint or --artifact the newest trial that is done is used. Which model it
is, where its hyperparameters and its weights were read, and tokens/s go to standard error, texts to
standard output. The same seed, model and prompt give the same text, alone or in a batch, with and
without --cache (on one kind of device, with one number of threads). Past the context window the
oldest tokens are forgotten: when it is full, the model goes on with its last three quarters.

examples:
  python -m transformer_e2e.scripts.generate \\
      --gen_config transformer_e2e/configs/generate_config.yml
  python -m transformer_e2e.scripts.generate --run_id single_bs8 --prompt "Return" --prompt "The"
  python -m transformer_e2e.scripts.generate --prompt_file - --num_samples 3 --json < prompts.txt

exit codes: 0 done, 2 wrong input or no such model, 130 Ctrl-C
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from transformer_e2e.config.generation import GenerationSettings
from transformer_e2e.config.parse import add_settings, resolve_use
from transformer_e2e.errors import exit_code_of
from transformer_e2e.launch.console import reader_may_leave, say_aside
from transformer_e2e.launch.environment import load_dotenv


def main(argv: Sequence[str] | None = None) -> int:
    args, unknown = build_parser().parse_known_args(argv)
    flags = vars(args)
    config = flags.pop("gen_config")
    load_dotenv()
    return exit_code_of(lambda: generate(resolve_use(GenerationSettings, flags, unknown, config)))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transformer_e2e.scripts.generate",
        usage="%(prog)s [--gen_config FILE] [--SETTING VALUE ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--gen_config", type=Path, help="YAML file of settings, keys in upper case [none]")
    add_settings(parser, {"generation": GenerationSettings})
    return parser


def generate(settings: GenerationSettings) -> int:
    """Write the texts to standard output, each piece as soon as it is known. Returns 0."""
    prompts = settings.prompts()  # a missing file is said before a model is fetched
    from transformer_e2e.launch.decoder_model import DECODER
    from transformer_e2e.launch.open_model import open_model
    from transformer_e2e.launch.texts import write_texts

    with open_model(settings, DECODER, say_aside) as opened, reader_may_leave():
        write_texts(prompts, settings, opened, sys.stdout, say_aside)
    return 0


if __name__ == "__main__":
    sys.exit(main())
