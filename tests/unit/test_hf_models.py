"""Promises of the Hugging Face program's models and tokenizers: the same ones everywhere, and refusals."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.hf_arguments import arguments
from transformer_e2e.errors import ConfigError, DataError
from transformer_e2e.hf.models import build_model, model_problems
from transformer_e2e.hf.tokenizers import build_tokenizer, load_tokenizer

WORDS = "the cat sat on a mat with naïve Café ValueError return None Straße 漢字 def self".split()  # noqa: SIM905
TEXTS = [" ".join(random.Random(seed).choices(WORDS, k=300)) for seed in range(4)]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def texts() -> Iterator[str]:
    return iter(TEXTS)


def tokenizer_of(cache: Path, task: str = "mlm", **changes: Any) -> Any:
    return build_tokenizer(
        arguments(task=task, cache_dir=str(cache), **{"vocab_size": 300, **changes}), texts, print
    )


def test_an_encoder_gets_the_tokens_that_bert_needs(tmp_path):
    tokenizer = tokenizer_of(tmp_path)
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    pair = tokenizer("the cat", "sat")
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"]) == [
        "[CLS]",
        "the",
        "cat",
        "[SEP]",
        "sat",
        "[SEP]",
    ]
    assert pair["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert tokenizer.tokenize("the [MASK] sat") == ["the", "[MASK]", "sat"]
    assert "token_type_ids" not in tokenizer_of(tmp_path, "clm")("the cat")


def test_a_writer_gives_back_every_text(tmp_path):
    tokenizer = tokenizer_of(tmp_path, "generative_qa")
    for text in (*TEXTS, " \n\t odd  spaces 🦄 \x00", "it 's n't ."):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    assert tokenizer.tokenize("a<|endoftext|>", split_special_tokens=True)[-1] != "<|endoftext|>"


@pytest.mark.parametrize("task", ["mlm", "clm"])
def test_another_process_trains_the_same_tokenizer(tmp_path, task):
    """The trainer of word pieces orders characters by a hash map with a random seed, if one lets it."""
    program = (
        "import sys; from pathlib import Path; from tests.unit import test_hf_models as t\n"
        "t.tokenizer_of(Path(sys.argv[1]) / 'there', sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path), task], check=True, timeout=240)
    tokenizer_of(tmp_path / "here", task)
    digests = [
        {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in (tmp_path / side).rglob("*.json")
        }
        for side in ("here", "there")
    ]
    assert digests[0] == digests[1] and "tokenizer.json" in digests[0]


def test_a_tokenizer_is_trained_once_and_fewer_ids_than_asked_for_are_said(tmp_path):
    said: list[str] = []
    for _ in range(2):
        big = build_tokenizer(arguments(cache_dir=str(tmp_path), vocab_size=5000), texts, said.append)
    assert len(list(tmp_path.rglob("manifest.json"))) == 1
    assert f"the tokenizer has {len(big)} ids, not 5000" in said[0]


def test_a_tokenizer_by_path_and_one_that_is_not_there(tmp_path):
    tokenizer_of(tmp_path).save_pretrained(tmp_path / "mine")
    named = tokenizer_of(tmp_path, tokenizer_name=str(tmp_path / "mine"))
    assert named.get_vocab() == tokenizer_of(tmp_path).get_vocab()
    with pytest.raises(
        DataError, match=r"--tokenizer_name=.*min: there is no such folder; did you mean mine"
    ):
        tokenizer_of(tmp_path, tokenizer_name=str(tmp_path / "min"))
    with pytest.raises(
        DataError, match=r"--model_name_or_path=nobody/nothing cannot be loaded: .*Hub cannot"
    ):
        tokenizer_of(tmp_path, model_name_or_path="nobody/nothing")


@pytest.mark.parametrize(
    ("task", "model_type", "attributes"),
    [
        ("mlm", None, {"hidden_size": 128, "num_hidden_layers": 2}),
        ("clm", None, {"n_embd": 128, "n_layer": 2}),
        ("generative_qa", "bloom", {"hidden_size": 128, "n_layer": 2, "eos_token_id": 0}),
        ("classification", "distilbert", {"dim": 128, "n_layers": 2}),
        ("extractive_qa", "roberta", {"max_position_embeddings": 514}),
    ],
)
def test_a_model_from_a_type_alone_is_small_and_runs(tmp_path, task, model_type, attributes):
    length = {"block_size": 512, "max_seq_length": 512}
    given = arguments(task=task, model_type=model_type, cache_dir=str(tmp_path), vocab_size=300, **length)
    assert model_problems(given) == []
    tokenizer = build_tokenizer(given, texts, print)
    model = build_model(given, tokenizer)
    assert {name: getattr(model.config, name) for name in attributes} == attributes
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    batch = tokenizer(
        ["the cat sat " * 300, "a"], padding=True, truncation=True, max_length=512, return_tensors="pt"
    )
    model(**batch)
    tokenizer.save_pretrained(tmp_path / "saved")
    assert set(load_tokenizer(str(tmp_path / "saved"), "x", None)("a")) == set(batch)


def test_equal_seeds_make_equal_weights_and_overrides_count(tmp_path):
    given = arguments(
        task="classification",
        cache_dir=str(tmp_path),
        vocab_size=300,
        config_overrides="hidden_size=64,num_attention_heads=4,hidden_act=relu,layer_norm_eps=1e-5",
    )
    tokenizer = build_tokenizer(given, texts, print)
    weights = []
    for _ in range(2):
        torch.manual_seed(7)
        model = build_model(given, tokenizer, num_labels=3)
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.equal(*weights)
    config = model.config
    assert (config.hidden_size, config.hidden_act, config.layer_norm_eps) == (64, "relu", 1e-5)
    assert (config.num_hidden_layers, config.num_labels) == (2, 3)


def test_a_pretrained_folder_gives_its_weights_and_a_new_head(tmp_path):
    given = arguments(cache_dir=str(tmp_path), vocab_size=300)
    tokenizer = build_tokenizer(given, texts, print)
    first = build_model(given, tokenizer)
    for part in (first, tokenizer):
        part.save_pretrained(tmp_path / "folder")
    named = arguments(task="classification", model_name_or_path=str(tmp_path / "folder"))
    assert model_problems(named) == []
    second = build_model(named, build_tokenizer(named, texts, print), num_labels=4)
    assert torch.equal(first.get_input_embeddings().weight, second.get_input_embeddings().weight)
    assert second.config.num_labels == 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"model_type": "brt"},
            "--model_type=brt is not known to transformers; did you mean bert?",
        ),
        ({"model_type": "gpt2"}, "a gpt2 model cannot be used for masked; bert"),
        ({"model_type": "bert", "task": "clm"}, "a bert model cannot be used for causal; gpt2, bloom"),
        ({"config_overrides": "hiden_size=3"}, "no hiden_size; did you mean hidden_size?"),
        ({"config_overrides": "hidden_size"}, "'hidden_size' is not name=value"),
        ({"config_overrides": "hidden_size=12.5"}, "expected int, got float"),
        ({"config_overrides": "hidden_size=130,num_attention_heads=4"}, "(130) is not a multiple"),
        ({"config_overrides": "vocab_size=9"}, "give --vocab_size"),
        ({"config_overrides": "{nonsense"}, "is no JSON object"),
        ({"config_overrides": '{"max_position_embeddings": 64}'}, "the largest that works is 64"),
        ({"model_name_or_path": "./bert", "config_overrides": "a=1"}, "exclude each other"),
        ({"model_name_or_path": "nobody/nothing"}, "the Hugging Face Hub cannot be reached"),
        ({"config_name": "./nowhere"}, "--config_name=./nowhere: there is no such folder"),
        ({"config_overrides": "hidden_act=foo"}, "it knows no 'foo'"),
        ({"model_type": "t5", "task": "classification"}, "which only works pretrained here"),
        ({"model_type": "bart", "task": "extractive_qa"}, "encoder-decoder"),
    ],
)
def test_a_model_that_cannot_be_is_refused(changes, expected):
    (problem,) = model_problems(arguments(**changes))
    assert expected in problem


def test_the_type_must_be_that_of_the_named_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 64}))
    named = {"model_name_or_path": str(tmp_path), "block_size": 64}
    assert model_problems(arguments(**named, model_type="bert")) == []
    assert "is a bert" in model_problems(arguments(**named, model_type="roberta"))[0]
    assert "largest that works is 64" in model_problems(arguments(**{**named, "block_size": 65}))[0]


def test_a_wrong_model_is_a_user_error():
    with pytest.raises(ConfigError, match="there is no such folder"):
        build_model(arguments(model_name_or_path="./nowhere"), tokenizer=None)  # type: ignore[arg-type]
