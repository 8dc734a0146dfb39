"""The commands that show what a trained model can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROMPT = "Return a list"
TEXT = "Return a list of the words in the string."
# Two texts: a model of pairs takes them in turn, any other one by one.
INPUTS = {
    "mlm": ("Return a [MASK] of the words in the string.",),
    "classification": (TEXT, "Open the socket and wait for a connection."),
    "extractive_qa": ("What is returned?", TEXT),
    "generative_qa": ("What is returned?", TEXT),
}


def uses(settings: Mapping[str, Any], model: Sequence[str], prompt: str = PROMPT) -> list[list[str]]:
    """What follows `python`: first of all to see it at work, then to judge it where that is another command.

    `settings` are those of its training, `model` the flags that name it, `prompt` is for models that write.
    """
    task = settings.get("task")
    if task is None:
        return [["-m", "transformer_e2e.scripts.generate", *model, "--prompt", prompt]]
    inputs = INPUTS.get(str(task), (prompt,))
    return [
        ["-m", "transformer_e2e.scripts.infer", *model, *inputs],
        ["-m", "transformer_e2e.scripts.evaluate", *model],
    ]
