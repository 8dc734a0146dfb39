"""Text that comes token by token is, piece for piece, the text of all tokens."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data.corpus import Corpus
from transformer_e2e.data.hf_tokenizer import HuggingFaceTokenizer
from transformer_e2e.data.open_tokenizer import make_tokenizer
from transformer_e2e.data.text_stream import TextStream
from transformer_e2e.data.tokenizer import ByteTokenizer, Tokenizer

WORDS = ["the", "cat", "café", "naïve", "漢字", "🦄", "👨‍👩‍👧", "\n", "\ufffd", "e\u0301"]
TEXT = " ".join(random.Random(1).choices(WORDS, k=2000))


@pytest.fixture(scope="module", params=["bytes", "bpe:300", "word pieces"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param != "word pieces":
        corpus = Corpus("words", (TEXT, TEXT[::-1]), ("held out",), "0" * 64)
        return make_tokenizer(DataSettings(tokenizer=request.param), corpus, folder)
    return word_pieces(folder)


def word_pieces(folder: Path) -> Tokenizer:
    """Like BERT's: it has no bytes, knows few words, and joins them by what stands before."""
    from tokenizers import Tokenizer as Inner
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["[UNK]", "the", "cat", "##s", "##fe", "ca", ",", "[SEP]"]
    inner = Inner(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", sep_token="[SEP]")
    fast.save_pretrained(folder)
    return HuggingFaceTokenizer(folder, len(pieces), 7)


def pieces_of(
    tokenizer: Tokenizer, ids: list[int], stop: tuple[str, ...] = ()
) -> tuple[list[str], TextStream]:
    stream = TextStream(tokenizer, tokenizer.encode("the cat"), stop)
    pieces = []
    for token in ids:
        pieces.append(stream.push(token))
        if stream.stopped:
            break
    return [*pieces, stream.finish()], stream


@pytest.mark.parametrize("source", ["text", "random ids"])
def test_the_pieces_joined_are_the_text(tokenizer: Tokenizer, source: str) -> None:
    """Random ids hold bytes that are no UTF-8, in every order."""
    draw = random.Random(3)
    for _ in range(60):
        ids = (
            tokenizer.encode(" ".join(draw.choices(WORDS, k=8)))
            if source == "text"
            else draw.choices(range(tokenizer.vocab_size), k=40)
        )
        prompt = tokenizer.encode("the cat")
        expected = tokenizer.decode([*prompt, *ids])[len(tokenizer.decode(prompt)) :]
        pieces, stream = pieces_of(tokenizer, ids)
        assert "".join(pieces) == expected == stream.text
        assert not stream.stopped


def test_a_character_is_shown_when_its_last_byte_is_there() -> None:
    pieces, _ = pieces_of(ByteTokenizer(), list("a🦄b".encode()))
    assert pieces == ["a", "", "", "", "🦄", "b", ""]
    broken, _ = pieces_of(ByteTokenizer(), [0xF0, 0x9F, 0x41, 0xFF])
    assert broken == ["", "", "\ufffdA", "", "\ufffd"]


@pytest.mark.parametrize(
    ("text", "stop", "expected", "stopped"),
    [
        ("one. two", (".",), "one", True),
        ("abcabd abe", ("abd",), "abc", True),
        ("aaab", ("aab",), "a", True),
        ("one two", ("two", "ne"), "o", True),
        ("one tw", ("two",), "one tw", False),
        ("stop", ("stop",), "", True),
        ("x🦄y", ("🦄",), "x", True),
        ("one", ("", "zz"), "one", False),
    ],
)
def test_a_text_ends_before_the_first_stop_text(
    text: str, stop: tuple[str, ...], expected: str, stopped: bool
) -> None:
    """And nothing of the stop text is shown before it is known whether it comes."""
    pieces, stream = pieces_of(ByteTokenizer(), list(text.encode()), stop)
    assert "".join(pieces) == expected == stream.text
    assert stream.stopped is stopped
    assert stream.push(65) == "" or not stopped
