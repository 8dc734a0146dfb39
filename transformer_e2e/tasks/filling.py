"""Texts with masks -> the likeliest tokens in their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transformer_e2e.errors import DataError
from transformer_e2e.tasks.language import wrapping
from transformer_e2e.tasks.padding import inputs_of, pad
from transformer_e2e.tasks.passes import batches, evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from transformer_e2e.hf.pipeline import Pipeline

SPELLINGS = ("[MASK]", "<mask>")  # of a mask, whichever the tokenizer has
CANDIDATES = 5
CONTINUED = "##"  # before a word piece that goes on a word


@dataclass
class _Window:
    """A part of a text that a model can take, and the masks in it that are looked at here."""

    text: int
    ids: list[int]
    places: list[int] = field(default_factory=list)  # in `ids`


def fill_masks(pipeline: Pipeline, texts: Sequence[str], *, batch_size: int) -> list[dict[str, Any]]:
    """For each text {"text", "filled", "masks"}; "masks" holds {"token", "score"} lists, likeliest first.

    A text too long for the model is seen through a window around each mask. Raises DataError for texts
    without a mask, naming them.
    """
    mask = str(pipeline.tokenizer.mask_token)
    spelled = [_spelled(text, mask) for text in texts]
    if without := [number for number, text in enumerate(spelled, 1) if mask not in text]:
        raise DataError(
            f"there is nothing to fill in text {', '.join(map(str, without[:5]))}: write "
            f"{mask} where a word is to be found"
        )
    windows = [window for number, text in enumerate(spelled) for window in _windows(number, text, pipeline)]
    masks: list[list[list[dict[str, Any]]]] = [[] for _ in texts]
    with evaluating(pipeline.model):
        for chosen in batches(len(windows), batch_size):
            batch = [windows[number] for number in chosen]
            for window, found in zip(batch, _candidates(pipeline, batch), strict=True):
                masks[window.text] += found
    return [
        {"text": text, "filled": _filled(text_with_masks, mask, found), "masks": found}
        for text, text_with_masks, found in zip(texts, spelled, masks, strict=True)
    ]


def _spelled(text: str, mask: str) -> str:
    for spelling in SPELLINGS:
        text = text.replace(spelling, mask)
    return text


def _windows(number: int, text: str, pipeline: Pipeline) -> list[_Window]:
    """One window if the text fits; else one for each mask, which stands in its middle where it can."""
    tokenizer = pipeline.tokenizer
    before, after = wrapping(tokenizer)
    room = pipeline.schema.max_length - len(before) - len(after)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
    if len(ids) <= room:
        return [_Window(number, [*before, *ids, *after], [len(before) + place for place in places])]
    windows = []
    for place in places:
        start = max(0, min(place - room // 2, len(ids) - room))
        part = ids[start : start + room]
        windows.append(_Window(number, [*before, *part, *after], [len(before) + place - start]))
    return windows


def _candidates(pipeline: Pipeline, windows: Sequence[_Window]) -> list[list[list[dict[str, Any]]]]:
    """For each window, for each of its masks, the likeliest tokens; none of them is a special one."""
    model, tokenizer = pipeline.model, pipeline.tokenizer
    batch = pad([{"input_ids": window.ids} for window in windows], {"input_ids": tokenizer.pad_token_id})
    logits = model(**inputs_of(batch, model.device)).logits
    found = []
    for row, window in zip(logits, windows, strict=True):
        chances = row[window.places].float().softmax(dim=-1)
        chances[:, tokenizer.all_special_ids] = 0.0
        best = chances.topk(min(CANDIDATES, chances.shape[-1]), dim=-1)
        found.append(
            [
                [
                    {"token": _word(tokenizer, token), "score": round(chance, 4)}
                    for token, chance in zip(tokens, scores, strict=True)
                ]
                for tokens, scores in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
        )
    return found


def _word(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    piece = str(tokenizer.convert_ids_to_tokens(token))
    return piece if piece.startswith(CONTINUED) else str(tokenizer.decode([token])).strip()


def _filled(text: str, mask: str, masks: Sequence[Sequence[dict[str, Any]]]) -> str:
    first, *rest = text.split(mask)
    for candidates, part in zip(masks, rest, strict=True):
        word = candidates[0]["token"]
        if word.startswith(CONTINUED):
            first = first.rstrip() + word.removeprefix(CONTINUED) + part
        else:
            first += word + part
    return first
