"""Settings of text generation: which model, what to continue, how to sample."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.config.option import option
from transformer_e2e.config.text_lines import text_lines


@dataclass(frozen=True, kw_only=True)
class GenerationSettings(ModelChoice):
    """One generation."""

    EXCLUSIVE = (*ModelChoice.EXCLUSIVE, ("prompt", "prompt_file"))

    prompt: tuple[str, ...] = option(
        ("Return a",),
        "text to continue, to the letter; may be given several times; an empty one begins a text",
        counts=False,
    )
    prompt_file: str | None = option(
        None, "file with one prompt a line (- is standard input); empty lines are left out", counts=False
    )
    num_samples: int = option(1, "continuations of each prompt", counts=False, minimum=1, maximum=10_000)
    max_new_tokens: int = option(120, "tokens to generate", counts=False, minimum=1, maximum=100_000)
    stop: tuple[str, ...] = option(
        (), "end a text before this; give it several times for several", counts=False
    )
    temperature: float = option(0.8, "of the softmax; 0: always the likeliest token", counts=False, minimum=0)
    top_k: int = option(50, "sample among this many likeliest tokens; 0: all", counts=False, minimum=0)
    top_p: float = option(
        0.95, "sample among the likeliest tokens that hold this mass", counts=False, above=0, maximum=1
    )
    min_p: float = option(
        0.0,
        "sample among tokens at least this share as likely as the likeliest; 0: all",
        counts=False,
        minimum=0,
        maximum=1,
    )
    repetition_penalty: float = option(
        1.0,
        "above 1: tokens already in the context become less likely; 1: none",
        counts=False,
        minimum=0.01,
        maximum=100,
    )
    seed: int = option(1, "same seed and prompt, same text", counts=False, minimum=0, maximum=2**31 - 1)
    batch_size: int = option(
        8, "texts in the making at a time; changes speed alone", counts=False, minimum=1, maximum=4096
    )
    cache: bool = option(True, "keep what was computed for earlier tokens; changes speed alone", counts=False)
    json: bool = option(False, "one JSON object a line instead of text, each when it is over", counts=False)

    def prompts(self) -> list[str]:
        """What to continue, read from the file if there is one. Raises ConfigError."""
        if self.prompt_file is None:
            return list(self.prompt)
        return text_lines(self.prompt_file, "--prompt_file", "prompt")
