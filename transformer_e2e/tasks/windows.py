"""Questions and contexts as model inputs: a context too long for one becomes several that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_e2e.data.questions import Question
from transformer_e2e.errors import ConfigError, DataError
from transformer_e2e.tasks.mapping import map_questions
from transformer_e2e.tasks.spans import Span

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

SPECIAL = 4  # most tokens that a tokenizer puts around a pair of texts, e.g. <s> a </s></s> b </s>
INPUTS = ("input_ids", "token_type_ids", "start_positions", "end_positions")


@dataclass(frozen=True)
class Windows:
    """Windows of questions, in their order."""

    inputs: Dataset  # the columns of INPUTS; token_type_ids only where the model has them
    owners: list[int]  # the question of each window
    offsets: list[NDArray[np.int64]]  # (tokens, 2): characters of the context; (-1, -1) outside of it

    def allowed(self, tokens: int) -> NDArray[np.bool_]:
        """(windows, tokens): whether a token belongs to the context."""
        mask = np.zeros((len(self.owners), tokens), dtype=bool)
        for row, offsets in zip(mask, self.offsets, strict=True):
            row[: len(offsets)] = offsets[:, 0] >= 0
        return mask

    def characters(self, span: Span, context: str) -> tuple[int, int]:
        """(start, end) of a span in the context, without whitespace around it; (0, 0) for no answer."""
        if span.null:
            return 0, 0
        offsets = self.offsets[span.window]
        start, end = int(offsets[span.first, 0]), int(offsets[span.last, 1])
        text = context[start:end]
        start += len(text) - len(text.lstrip())
        return start, start + len(text.strip())


def stride_problems(max_length: int, stride: int) -> list[str]:
    """A question is cut to half of a window, so that the rest of it can hold the stride and more."""
    most = max_length // 2 - SPECIAL - 1
    if most < 0:
        return [f"--max_seq_length={max_length} must be at least {2 * (SPECIAL + 1)} for extractive_qa"]
    if stride > most:
        return [
            f"--doc_stride={stride} must be at most {most}: windows of --max_seq_length={max_length} tokens "
            f"hold the question, too"
        ]
    return []


def make_windows(
    questions: Sequence[Question],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    stride: int,
    workers: int = 1,
) -> Windows:
    """`max_length` tokens a window at most, of which two neighbours share `stride`.

    Raises ConfigError for a tokenizer that does not tell where its tokens stand.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            f"extractive_qa must know where tokens stand, and {type(tokenizer).__name__} does not say; "
            "tokenizers of the tokenizers library do: give a --tokenizer_name with a tokenizer.json"
        )
    if not questions:
        raise DataError("there are no questions; one or more work")
    cut = partial(_windows, tokenizer=tokenizer, max_length=max_length, stride=stride)
    table = map_questions(
        questions, cut, desc="cutting windows", workers=workers, batched=True, with_indices=True
    )
    offsets = [
        np.stack([np.array(starts), np.array(ends)], axis=1)
        for starts, ends in zip(table["offset_start"], table["offset_end"], strict=True)
    ]
    inputs = table.select_columns([name for name in table.column_names if name in INPUTS])
    return Windows(inputs, list(table["owner"]), offsets)


def _windows(
    batch: Mapping[str, Sequence[Any]],
    numbers: Sequence[int],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    stride: int,
) -> dict[str, list[Any]]:
    """Columns of the windows of a batch of questions."""
    encoded = tokenizer(
        [_cut(question, tokenizer, max_length // 2 - SPECIAL) for question in batch["question"]],
        list(batch["context"]),
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False,
    )
    columns: dict[str, list[Any]] = {
        name: [] for name in ("owner", "offset_start", "offset_end", "start_positions", "end_positions")
    }
    for window, example in enumerate(encoded["overflow_to_sample_mapping"]):
        inside = [sequence == 1 for sequence in encoded.sequence_ids(window)]
        offsets = encoded["offset_mapping"][window]
        starts = [offset[0] if there else -1 for offset, there in zip(offsets, inside, strict=True)]
        ends = [offset[1] if there else -1 for offset, there in zip(offsets, inside, strict=True)]
        answers, places = batch["answers"][example], batch["starts"][example]
        known = bool(answers) and places[0] >= 0
        first, last = _label(starts, ends, places[0], places[0] + len(answers[0])) if known else (0, 0)
        values = (numbers[example], starts, ends, first, last)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    for name in ("input_ids", "token_type_ids"):
        if name in encoded:
            columns[name] = encoded[name]
    return columns


def _label(starts: Sequence[int], ends: Sequence[int], begin: int, end: int) -> tuple[int, int]:
    """(first, last) token of the characters [begin, end); (0, 0) unless the window holds all of them."""
    context = [token for token, place in enumerate(starts) if place >= 0]
    if not context or starts[context[0]] > begin or ends[context[-1]] < end:
        return 0, 0
    first = next(token for token in context if ends[token] > begin)
    last = next(token for token in reversed(context) if starts[token] < end)
    return (first, last) if first <= last else (0, 0)


def _cut(question: str, tokenizer: PreTrainedTokenizerBase, most: int) -> str:
    """The question, or as much of it as `most` tokens hold."""
    if len(question) <= most:  # a token has a character or more
        return question
    offsets = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return question if len(offsets) <= most else question[: offsets[most - 1][1]]
