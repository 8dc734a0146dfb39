"""Continue a text with a trained model, fetched from its artifact when its local weights are gone.

example:
  python -m transformer_e2e.scripts.generate --gen_config transformer_e2e/configs/generate_config.yml \\
      --prompt "Return the"

exit codes: 0 done, 2 wrong input or no such model, 130 Ctrl-C
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from transformer_e2e.config.generation import GenerationSettings
from transformer_e2e.config.parse import add_settings, resolve_generation
from transformer_e2e.errors import exit_code_of
from transformer_e2e.launch.environment import load_dotenv


def main(argv: Sequence[str] | None = None) -> int:
    args, unknown = build_parser().parse_known_args(argv)
    flags = vars(args)
    config = flags.pop("gen_config")
    load_dotenv()
    return exit_code_of(lambda: continue_text(resolve_generation(flags, unknown, config)))


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


def continue_text(settings: GenerationSettings) -> int:
    """Print the prompt and its continuation, each piece as soon as it is known. Returns 0."""
    from transformer_e2e.launch.models import model_directory

    with model_directory(settings, say=lambda text: print(text, file=sys.stderr)) as directory:
        from transformer_e2e.data.tokenizer import load_tokenizer
        from transformer_e2e.model.choice import Sampling
        from transformer_e2e.model.files import load_model
        from transformer_e2e.model.sampling import generate
        from transformer_e2e.trainer.device import resolve_device

        tokenizer = load_tokenizer(directory / "tokenizer")
        model = load_model(directory, resolve_device(settings.device))
        ids = [tokenizer.end_of_text, *tokenizer.encode(settings.prompt)]
        tokens = generate(
            model,
            ids,
            max_new_tokens=settings.max_new_tokens,
            sampling=Sampling(temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p),
            seed=settings.seed,
            stop_id=tokenizer.end_of_text,
        )
        made: list[int] = []
        shown = ""
        print(settings.prompt, end="", flush=True)
        for token in tokens:
            made.append(token)
            text = tokenizer.decode(made)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # half of a character: wait for the rest
                print(text[len(shown) :], end="", flush=True)
                shown = text
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
