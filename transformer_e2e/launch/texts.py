"""Prompts and a model -> texts on a stream, as they are made."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from transformer_e2e.config.generation import GenerationSettings
from transformer_e2e.data.text_stream import TextStream
from transformer_e2e.launch.decoder_model import DecoderModel
from transformer_e2e.model.choice import Sampling
from transformer_e2e.model.sampling import Continuation, Request


@dataclass
class _Text:
    """One continuation of one prompt."""

    prompt: str
    sample: int
    ids: list[int]  # of the prompt
    stream: TextStream
    waiting: str = ""  # made, but not shown yet
    tokens: int = 0
    finish: str | None = None  # why it is over: length, end_of_text or stop


@dataclass
class _Screen:
    """Shows texts in their order: the first one that is not over as it is made, the later ones after it."""

    out: TextIO
    texts: list[_Text]
    as_text: Callable[[int], str]  # what stands before a text
    as_line: Callable[[_Text], str] | None  # the whole text as one line instead
    _place: int = 0
    _begun: bool = field(default=False)

    def update(self) -> None:
        while self._place < len(self.texts):
            text = self.texts[self._place]
            if self.as_line is None:
                if not self._begun:
                    self.out.write(self.as_text(self._place) + text.prompt)
                    self._begun = True
                self.out.write(text.waiting)
                text.waiting = ""
            if text.finish is None:
                break
            self.out.write("\n" if self.as_line is None else self.as_line(text) + "\n")
            self._place, self._begun = self._place + 1, False
        self.out.flush()


def write_texts(
    prompts: Sequence[str],
    settings: GenerationSettings,
    opened: DecoderModel,
    out: TextIO,
    say: Callable[[str], None],
) -> None:
    """Continue every prompt `num_samples` times and write the texts to `out`, in the order of `prompts`.

    A text is shown token by token, as soon as those before it are over; several are numbered. With
    `settings.json` each is one JSON object when it is over. Raises DataError for a prompt that is no Unicode.
    """
    texts = _texts(prompts, settings, opened, say)
    total = len(texts)
    screen = _Screen(
        out,
        texts,
        as_text=lambda place: "" if total == 1 else f"[{place + 1}/{total}] ",
        as_line=(lambda text: _line(text, settings, opened)) if settings.json else None,
    )
    continuation = Continuation(
        opened.model,
        [Request(text.ids, settings.seed, text.sample) for text in texts],
        Sampling(
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
        ),
        settings.max_new_tokens,
        batch_size=settings.batch_size,
        stop_id=opened.tokenizer.end_of_text,
        use_cache=settings.cache,
    )
    began = time.perf_counter()
    screen.update()
    for number, token in continuation:
        if _take(texts[number], token, settings.max_new_tokens):
            continuation.end(number)
        screen.update()
    seconds = time.perf_counter() - began
    made = sum(text.tokens for text in texts)
    say(f"{made:,} tokens in {seconds:.1f} s: {made / seconds:,.0f} tokens/s")


def _texts(
    prompts: Sequence[str], settings: GenerationSettings, opened: DecoderModel, say: Callable[[str], None]
) -> list[_Text]:
    window = opened.model.shape.context_window
    texts = []
    for prompt in prompts:
        encoded = opened.tokenizer.encode(prompt)
        ids = [opened.tokenizer.end_of_text, *encoded]
        if (seen := opened.tokenizer.decode(encoded)) != prompt:
            say(f"the tokenizer cannot spell {_short(prompt)}: the model sees {_short(seen)}")
        if len(ids) > window:
            say(
                f"the prompt {_short(prompt)} has {len(encoded)} tokens: the model sees the last {window}, "
                "its context window"
            )
        for sample in range(settings.num_samples):
            stream = TextStream(opened.tokenizer, ids, settings.stop)
            texts.append(_Text(prompt, sample, ids, stream))
    return texts


def _take(text: _Text, token: int | None, most: int) -> bool:
    """One more token, or None at the end. Whether a stop text ended the text before its time."""
    if token is not None:
        text.tokens += 1
        text.waiting += text.stream.push(token)
        if text.stream.stopped:
            text.finish = "stop"
        return text.stream.stopped
    text.waiting += text.stream.finish()
    text.finish = "stop" if text.stream.stopped else "length" if text.tokens >= most else "end_of_text"
    return False


def _line(text: _Text, settings: GenerationSettings, opened: DecoderModel) -> str:
    facts = {
        "prompt": text.prompt,
        "text": text.stream.text,
        "sample": text.sample,
        "tokens": text.tokens,
        "finish": text.finish,
        "seed": settings.seed,
        "run_id": opened.run_id,
        "step": opened.step,
        "weights": opened.weights,
    }
    return json.dumps(facts, ensure_ascii=False)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
