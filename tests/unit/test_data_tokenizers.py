"""Promises of the tokenizers: exact round trips, the same ids everywhere, and names that say what works."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data.corpus import Corpus
from transformer_e2e.data.open_tokenizer import load_tokenizer, make_tokenizer
from transformer_e2e.data.tokenizer import Tokenizer
from transformer_e2e.errors import DataError

WORDS = "the a cat dog sat on under mat with def return self café naïve 漢字 🦄".split()  # noqa: SIM905
TEXT = " ".join(random.Random(1).choices(WORDS, k=4000))
CORPUS = Corpus("words", (TEXT, TEXT[::-1]), ("held out text that only validation has",), "0" * 64)

ODD_TEXTS = [
    "",
    " ",
    "\n\n\n  \t x",
    "a\r\nb\rc\n",
    "\x00\x01\x7f\x80\x9f",
    "tabs\tand\u00a0spaces\u2003wide\u3000here",
    "e\u0301 is not é; \u202eright to left\u202c; \u200bzero\ufeffwidth",
    "😀👨‍👩‍👧‍👦🏳️‍🌈 \U0010ffff \ufffd \uffff",
    "<|endoftext|> </s> <s> [SEP] <unk> ## Ġ Ċ",
    "def f(x):\n        return x  # trailing \n\n\n",
    "".join(chr(i) for i in range(0x250)),
    "".join(chr(random.Random(i).choice([i * 97 % 0xD800, 0xE000 + i * 89 % 0x1000])) for i in range(3000)),
]


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user has who trained a tokenizer with `tokenizers` and saved it with `transformers`."""
    from tokenizers import Tokenizer as Inner
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Inner(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<unk>", "</s>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    folder = tmp_path_factory.mktemp("hf")
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>").save_pretrained(folder / "with_end")
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(folder / "without_end")
    return folder


def make(name: object, cache: Path, corpus: Corpus = CORPUS) -> Tokenizer:
    return make_tokenizer(DataSettings(tokenizer=str(name)), corpus, cache)


@pytest.fixture(scope="module", params=["bytes", "bpe:257", "bpe:300", "hf"])
def tokenizer(request, tmp_path_factory, hf_folder) -> Tokenizer:
    name = hf_folder / "with_end" if request.param == "hf" else request.param
    return make(name, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
def test_any_text_comes_back_as_it_was(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(0 <= number < tokenizer.vocab_size for number in ids)


def test_no_text_is_taken_for_the_end_of_text(tokenizer):
    for text in ODD_TEXTS:
        assert tokenizer.end_of_text not in tokenizer.encode(text)


def test_the_end_of_text_decodes_to_nothing(tokenizer):
    assert tokenizer.decode([*tokenizer.encode("a"), tokenizer.end_of_text, *tokenizer.encode("b")]) == "ab"


def test_a_character_cut_in_half_decodes_to_a_replacement(tokenizer):
    assert "\ufffd" in tokenizer.decode(tokenizer.encode("\U0010ff01")[:-1])


def test_half_a_surrogate_pair_is_refused(tokenizer):
    with pytest.raises(DataError, match="no valid Unicode"):
        tokenizer.encode("ab\ud800")


def test_what_was_saved_loads_and_encodes_the_same_twice_over(tokenizer, tmp_path):
    for number in range(2):
        directory = tmp_path / str(number)
        directory.mkdir()
        tokenizer.save(directory)
        loaded = load_tokenizer(directory)
        assert (loaded.vocab_size, loaded.end_of_text) == (tokenizer.vocab_size, tokenizer.end_of_text)
        assert [loaded.encode(text) for text in ODD_TEXTS] == [tokenizer.encode(text) for text in ODD_TEXTS]
        tokenizer = loaded


def test_bytes_are_the_bytes():
    tokenizer = make("bytes", Path("unused"))
    assert tokenizer.encode("aé") == [97, 195, 169]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (257, 256)


def test_bpe_has_exactly_the_ids_asked_for_and_shortens_its_own_text(tmp_path):
    tokenizer = make("bpe:300", tmp_path)
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (300, 299)
    assert len(tokenizer.encode(TEXT)) < len(TEXT.encode()) / 1.8


def test_bpe_learns_from_the_training_split_only(tmp_path):
    other = Corpus("words", CORPUS.train, ("quite another held out text " * 500,), "1" * 64)
    here, there = make("bpe:300", tmp_path / "a"), make("bpe:300", tmp_path / "b", other)
    assert here.encode(TEXT) == there.encode(TEXT)


def test_bpe_is_trained_once_and_another_text_gets_its_own(tmp_path):
    make("bpe:300", tmp_path)
    make("bpe:300", tmp_path)
    assert len(list(tmp_path.rglob("manifest.json"))) == 1
    make("bpe:300", tmp_path, Corpus("words", (TEXT[:5000],), (), "2" * 64))
    assert len(list(tmp_path.rglob("manifest.json"))) == 2


def test_bpe_trained_in_another_process_has_the_same_merges(tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps(CORPUS.train))
    program = (
        "import json, sys; from pathlib import Path\n"
        "from transformer_e2e.config.settings import DataSettings\n"
        "from transformer_e2e.data.corpus import Corpus\n"
        "from transformer_e2e.data.open_tokenizer import make_tokenizer\n"
        "at = Path(sys.argv[1]); texts = tuple(json.loads((at / 'texts.json').read_text()))\n"
        "make_tokenizer(DataSettings(tokenizer='bpe:350'), Corpus('words', texts, (), ''), at / 'there')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=240)
    make("bpe:350", tmp_path / "here")
    (here,), (there,) = ((tmp_path / side).rglob("tokenizer.json") for side in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.parametrize(
    ("name", "works"),
    [
        ("bpe", "bpe:2048"),
        ("bpe:", "bpe:2048"),
        ("bpe:many", "bpe:2048"),
        ("bpe:-5", "bpe:2048"),
        ("bpe:4k", "bpe:257"),
        ("bpe:4_096", "bpe:4096"),
        ("bpe 1024", "bpe:1024"),
        ("BPE:1024", "bpe:1024"),
        ("bpe:1024.5", "bpe:1024"),
        ("bpe:0", "smallest that works is bpe:257"),
        ("bpe:256", "smallest that works is bpe:257"),
    ],
)
def test_a_wrong_bpe_size_names_one_that_works(tmp_path, name, works):
    with pytest.raises(DataError) as caught:
        make(name, tmp_path)
    assert f"--tokenizer={name}" in str(caught.value)
    assert works in str(caught.value)


def test_a_bpe_larger_than_the_text_yields_names_the_largest_and_that_works(tmp_path):
    with pytest.raises(DataError, match=r"the largest that works is bpe:(\d+)") as caught:
        make("bpe:100000", tmp_path)
    largest = str(caught.value).rsplit("bpe:", 1)[1]
    assert make(f"bpe:{largest}", tmp_path).vocab_size == int(largest)
    assert len(list(tmp_path.rglob("manifest.json"))) == 1


def test_a_hugging_face_tokenizer_without_an_end_token_gets_one(hf_folder, tmp_path):
    known, added = make(hf_folder / "with_end", tmp_path), make(hf_folder / "without_end", tmp_path)
    assert (known.vocab_size, known.end_of_text) == (300, 1)
    assert (added.vocab_size, added.end_of_text) == (301, 300)
    (tmp_path / "saved").mkdir()
    added.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").decode([added.end_of_text, *added.encode("a cat")]) == "a cat"


def test_an_unknown_tokenizer_says_what_works(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"--tokenizer=nobody/nothing cannot be loaded: .*bytes, bpe:N"):
        make("nobody/nothing", tmp_path)
    with pytest.raises(DataError, match=r"did you mean bytes\?"):
        make("byte", tmp_path)


@pytest.mark.parametrize("damage", ["{}", "", '{"kind": "bpe", "vocab_size": 3, "end_of_text": 2}'])
def test_a_folder_that_holds_no_tokenizer_is_refused(tmp_path, damage):
    (tmp_path / "tokenizer_kind.json").write_text(damage)
    with pytest.raises(DataError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
