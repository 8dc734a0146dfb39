"""The tokenizer of a trial: one by name, or one that is trained on the trial's own texts.

Trained ones come in two families. Encoders (BERT and its kin) get lower-case word pieces, so that a word is
the same token wherever it stands; models that write text get byte-level BPE, which gives back every text
exactly.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_e2e.data.snapshots import Facts, fingerprint, open_or_build
from transformer_e2e.data.tokenizer import pieces
from transformer_e2e.errors import DataError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.model_config import has_segments
from transformer_e2e.hf.not_loaded import not_loaded

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerBase

VERSION = "hf-tokenizer-1"  # of the training; another one trains every tokenizer anew
WRITING_TASKS = ("clm", "generative_qa")
ENCODER_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
WRITER_TOKENS = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "pad_token": "<|padding|>"}
WRITER_INPUTS = ["input_ids", "attention_mask"]
ENCODER_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
LARGEST_ALPHABET = 1000  # characters; the rest of a text's characters are unknown to word pieces
CONTINUED = "##"  # before a word piece that goes on a word


def build_tokenizer(
    arguments: Arguments, texts: Callable[[], Iterator[str]], say: Callable[[str], None]
) -> PreTrainedTokenizerBase:
    """The tokenizer that the arguments name, or one trained on `texts`, the training split, and cached.

    It has every special token that the task needs: padding always, [CLS] [SEP] [MASK] for encoders, an end
    of text for writers. Training it is a function of the texts and vocab_size alone; fewer ids come out where
    the texts have nothing left to merge, which is said. Many processes may ask at once: one trains. Raises
    DataError.
    """
    model = arguments.model
    name = model.tokenizer_name or model.model_name_or_path
    if name is not None:
        flag = "tokenizer_name" if model.tokenizer_name else "model_name_or_path"
        return load_tokenizer(name, flag, None if model.tokenizer_name else model.model_revision)
    writes = arguments.task in WRITING_TASKS
    family = "bytes" if writes else "words"
    key = fingerprint(itertools.chain([VERSION, family, str(model.vocab_size)], texts()))
    directory = Path(model.cache_dir) / "tokenizers" / f"{family}-{model.vocab_size}-{key[:16]}"
    what = f"a tokenizer of {model.vocab_size} ids"
    facts = open_or_build(directory, partial(_train, texts, model.vocab_size, writes), what=what)
    if facts["vocab_size"] < model.vocab_size:
        made = facts["vocab_size"]
        say(f"the tokenizer has {made} ids, not {model.vocab_size}: the texts have no more to merge")
    tokenizer = load_tokenizer(str(directory), "cache_dir", None)
    if not writes and not has_segments(arguments):
        tokenizer.model_input_names = WRITER_INPUTS
    return tokenizer


def load_tokenizer(name: str, flag: str, revision: str | None) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder or the hub; one without a padding token pads with its end of text.

    `flag`: the one that gave the name, for the message. Raises DataError.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main", use_fast=True)
    except Exception as error:  # the hub's, the network's, and whatever a damaged file raises
        works = "a folder that holds a tokenizer; without model_name_or_path one is trained on the data"
        raise DataError(not_loaded(flag, name, error, works)) from error
    if is_empty(tokenizer):
        raise DataError(f"--{flag}={name} holds no tokenizer; name another one with --tokenizer_name")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise DataError(f"--{flag}={name}: the tokenizer has neither a padding nor an end-of-text token")
    return tokenizer


def is_empty(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it knows special tokens alone: what the library makes, saying nothing, where there is none."""
    return len(tokenizer) <= len(tokenizer.all_special_tokens)


def _train(texts: Callable[[], Iterator[str]], size: int, writes: bool, staging: Path) -> Facts:
    from transformers import PreTrainedTokenizerFast

    inner = _byte_level(texts, size) if writes else _word_pieces(texts, size)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        clean_up_tokenization_spaces=False,
        model_input_names=WRITER_INPUTS if writes else ENCODER_INPUTS,
        **(WRITER_TOKENS if writes else ENCODER_TOKENS),
    )
    tokenizer.save_pretrained(str(staging))
    return {"vocab_size": len(tokenizer)}


def _byte_level(texts: Callable[[], Iterator[str]], size: int) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(dict.fromkeys(WRITER_TOKENS.values())),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(_pieces(texts()), trainer)
    return inner


def _word_pieces(texts: Callable[[], Iterator[str]], size: int) -> tokenizers.Tokenizer:
    """BERT's word pieces over lower-case text.

    Source: Devlin et al. 2019, section 3; merges are chosen by count, as `tokenizers` does. Its trainer gives
    ids to characters inside words in the order of a randomly seeded hash map, so equal texts gave another
    vocabulary in every process (tried, 0.23.3). Hence all characters get their ids beforehand.
    """
    from tokenizers import decoders, models, processors, trainers

    special = list(ENCODER_TOKENS.values())
    unknown, start, end = (ENCODER_TOKENS[name] for name in ("unk_token", "cls_token", "sep_token"))
    learner = _words(models.WordPiece(unk_token=unknown))
    alphabet = _alphabet(learner.normalizer, texts(), min(LARGEST_ALPHABET, size // 4))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[*special, *alphabet, *(CONTINUED + character for character in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=CONTINUED,
        show_progress=False,
    )
    learner.train_from_iterator(_pieces(texts()), trainer)
    inner = _words(models.WordPiece(vocab=learner.get_vocab(), unk_token=unknown))  # characters not special
    inner.add_special_tokens(special)
    inner.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(token, inner.token_to_id(token)) for token in (start, end)],
    )
    inner.decoder = decoders.WordPiece(prefix=CONTINUED)
    return inner


def _words(model: Any) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, normalizers, pre_tokenizers

    words = Tokenizer(model)
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return words


def _alphabet(normalizer: Any, texts: Iterable[str], most: int) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    found = sorted(
        (character for character in counts if not character.isspace()), key=lambda c: (-counts[c], c)
    )
    return sorted(found[:most])


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    return (piece for text in texts for piece in pieces(text))
