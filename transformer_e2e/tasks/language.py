"""What masked and causal language modelling share: running text as blocks of tokens, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_e2e.config.hf_settings import SHORTEST_BLOCK
from transformer_e2e.data.running_text import Blocks, documents, text_column, token_stream
from transformer_e2e.data.schema import Schema
from transformer_e2e.data.snapshots import fingerprint
from transformer_e2e.data.tables import load_tables
from transformer_e2e.errors import ConfigError, DataError, UserError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import build_model, model_problems
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Collate, Examples, Prepared
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.metrics.language import perplexity
from transformer_e2e.tasks.passes import mean_loss
from transformer_e2e.tasks.registry import Row, Say

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERSION = "running-text-1"  # of the making of token streams; another one makes every stream anew
LONGEST_TOKEN = 40  # characters; no tokenizer makes longer ones on average


@dataclass(frozen=True)
class Texts:
    name: str
    split: str  # that `validation` is
    column: str
    train: Sequence[str]
    validation: Sequence[str]


@dataclass(frozen=True)
class Prose:
    """The tokenizer, and both sides as blocks."""

    tokenizer: PreTrainedTokenizerBase
    train: Blocks
    validation: Blocks


Sides = tuple[Examples, Examples]  # of training and of validation


def open_language(
    arguments: Arguments, collate: Collate, sides: Callable[[Prose], Sides], say: Say, **extra: Any
) -> Callable[[], Prepared]:
    """See registry.Task. `sides`: what the model sees of the blocks; `extra`: the schema's.

    Raises UserErrors, all at once.
    """
    texts, prose = _open_texts(arguments, say)

    def prepare() -> Prepared:
        found = prose()
        train, evaluation = sides(found)
        return Prepared(
            model=build_model(arguments, found.tokenizer),
            tokenizer=found.tokenizer,
            schema=Schema(
                task=arguments.task,
                data_name=texts.name,
                max_length=arguments.data.block_size,
                text_fields=(texts.column,),
                extra=extra,
            ),
            train=train,
            evaluation=evaluation,
            collate=collate,
            more_metrics=lambda _, loss: {"perplexity": perplexity(loss)},
            split=texts.split,
        )

    return prepare


def score_blocks(
    pipeline: Pipeline, examples: Examples, collate: Collate, batch_size: int
) -> dict[str, float]:
    """{"loss", "perplexity"} of the examples, as evaluations of training take them."""
    shifted = pipeline.schema.task == "clm"
    loss = mean_loss(pipeline.model, examples, collate, batch_size, shifted=shifted)
    return {"loss": loss, "perplexity": perplexity(loss)}


def _open_texts(arguments: Arguments, say: Say) -> tuple[Texts, Callable[[], Prose]]:
    """The documents, and what tokenises them.

    Text so short that it may not fill a block is tokenised here, so that this is found out before anything
    is begun.
    """
    problems = model_problems(arguments)
    texts = None
    try:
        texts = _texts(arguments, say)
    except UserError as error:
        problems.append(str(error))
    ConfigError.raise_if(problems)
    assert texts is not None
    made: list[Prose] = []

    def prose() -> Prose:
        if not made:
            made.append(_prose(arguments, texts, say))
        return made[0]

    shortest = min(sum(map(len, texts.train)), sum(map(len, texts.validation)))
    if shortest < LONGEST_TOKEN * arguments.data.block_size:
        prose()
    return texts, prose


def blocks_of_rows(pipeline: Pipeline, rows: Sequence[Row]) -> Blocks:
    """Blocks of the rows' texts, made as those of training, at most as many as the schema's
    `max_eval_samples` says if it does. Raises DataError if they do not fill one."""
    tokenizer, schema, wrapped = pipeline.tokenizer, pipeline.schema, _is_wrapped(pipeline.schema.task)
    texts = documents(texts_of_rows(schema, rows))
    encode, end = partial(_encode, tokenizer), _end(tokenizer, wrapped)
    tokens = [token for text in texts for token in (*encode([text])[0], *(() if end is None else (end,)))]
    before, after = wrapping(tokenizer) if wrapped else ((), ())
    most = schema.extra.get("max_eval_samples")
    blocks = Blocks(np.array(tokens, dtype=np.int64), schema.max_length, before, after, most)
    if not len(blocks):
        raise DataError(
            f"the texts have {len(tokens)} tokens, and the model's blocks {schema.max_length}: give more text"
        )
    return blocks


def texts_of_rows(schema: Schema, rows: Sequence[Row]) -> list[str]:
    """The text of each row. Raises DataError, which says which row has none, counted from 1."""
    column, texts = schema.text_fields[0], []
    for number, row in enumerate(rows, 1):
        text = row.get(column, row.get("text"))
        if not isinstance(text, str):
            raise DataError(f"example {number} has no text in {column}; it has {', '.join(map(str, row))}")
        texts.append(text)
    return texts


def wrapping(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer puts before and after a text: [CLS] and [SEP] of BERT."""
    inside = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    if not inside:
        return (), ()
    place = whole.index(inside[0])
    return tuple(whole[:place]), tuple(whole[place + len(inside) :])


def _texts(arguments: Arguments, say: Say) -> Texts:
    tables = load_tables(arguments.data, seed=arguments.seed, say=say)
    column = text_column(tables.train, arguments.data.text_column_names, tables.name)
    if column != "text" and not arguments.data.text_column_names:
        say(f"text: {column}")
    text_column(tables.validation, column, f"{tables.name} ({tables.validation_split})")
    train, validation = (documents(table[column]) for table in (tables.train, tables.validation))
    for side, found in (("training", train), ("validation", validation)):
        if not found:
            raise DataError(f"{tables.name} has no {side} text in its column {column}")
    return Texts(tables.name, tables.validation_split, column, train, validation)


def _prose(arguments: Arguments, texts: Texts, say: Say) -> Prose:
    data, wrapped = arguments.data, _is_wrapped(arguments.task)
    tokenizer = build_tokenizer(arguments, lambda: iter(texts.train), say)
    if wrapped and tokenizer.mask_token_id is None:
        raise ConfigError("mlm needs a tokenizer with a mask token; BERT's and RoBERTa's have one")
    before, after = wrapping(tokenizer) if wrapped else ((), ())
    sides = []
    for side, documents_, most in (
        ("training", texts.train, data.max_train_samples),
        ("validation", texts.validation, data.max_eval_samples),
    ):
        blocks = Blocks(_stream(arguments, tokenizer, documents_), data.block_size, before, after, most)
        if not len(blocks):
            most_tokens = len(blocks.stream) + len(before) + len(after)
            works = f"the largest that works is {most_tokens}"
            raise DataError(
                f"--block_size={data.block_size}, but the {side} text of {texts.name} has "
                f"{len(blocks.stream)} tokens; {works if most_tokens >= SHORTEST_BLOCK else 'give more text'}"
            )
        sides.append(blocks)
    say(f"{len(sides[0]):,} training blocks of {data.block_size} tokens, {len(sides[1]):,} of validation")
    return Prose(tokenizer, sides[0], sides[1])


def _stream(arguments: Arguments, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Any:
    end = _end(tokenizer, _is_wrapped(arguments.task))
    key = fingerprint([VERSION, str(end), _identity(tokenizer), *texts])
    return token_stream(
        texts,
        partial(_encode, tokenizer),
        Path(arguments.model.cache_dir) / "streams" / key[:16],
        end=end,
        vocab_size=len(tokenizer),
        workers=arguments.data.preprocessing_num_workers,
    )


def _is_wrapped(task: str) -> bool:
    """Whether a block stands between the tokens that an encoder has around each text."""
    return task == "mlm"


def _end(tokenizer: PreTrainedTokenizerBase, wrapped: bool) -> int | None:
    """What stands between two texts: a separator for encoders, an end of text for writers."""
    found = tokenizer.sep_token_id if wrapped else tokenizer.eos_token_id
    return found if isinstance(found, int) else None


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """No special tokens, neither around a text nor for their names in it; no warning that it is long."""
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)
    return list(encoded["input_ids"])


def _identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """Everything that decides its ids, as text."""
    if tokenizer.is_fast:
        return str(tokenizer.backend_tokenizer.to_str())
    return repr((type(tokenizer).__name__, sorted(tokenizer.get_vocab().items()), tokenizer.init_kwargs))
