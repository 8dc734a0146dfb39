"""Promises of masked and causal language modelling: the same batches whenever asked, and models of use."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader

from tests.hf_arguments import arguments
from transformer_e2e.errors import ConfigError, DataError, UserError
from transformer_e2e.hf.labels import labels_in
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks import clm, mlm

TINY = "hidden_size=32,num_hidden_layers=1,num_attention_heads=2"
WORDS = "the cat sat on a mat and saw some dog run home with my hat".split()  # noqa: SIM905


def sentences(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=12)) + ".\n" for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("language")
    (root / "train.txt").write_text("".join(sentences(1, 200)))
    (root / "held.txt").write_text("".join(sentences(2, 60)))
    return root


def given(folder: Path, **changes: Any) -> Any:
    known = {
        "task": "mlm",
        "train_file": str(folder / "train.txt"),
        "validation_file": str(folder / "held.txt"),
        "config_overrides": TINY,
        "cache_dir": str(folder / "cache"),
        "vocab_size": 300,
        "block_size": 16,
    }
    return arguments(**{**known, **changes})


def prepared(folder: Path, **changes: Any) -> Prepared:
    found = given(folder, **changes)
    torch.manual_seed(1)
    return {"mlm": mlm, "clm": clm}[found.task].open_task(found, lambda _: None)()


@pytest.fixture(scope="module")
def masked(folder: Path) -> Prepared:
    return prepared(folder)


@pytest.fixture(scope="module")
def causal(folder: Path) -> Prepared:
    return prepared(folder, task="clm")


def equal(one: Any, two: Any) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def batches(task: Prepared, **options: Any) -> list[Any]:
    return list(DataLoader(task.train, batch_size=4, collate_fn=task.collate, **options))


def test_masks_change_with_the_epoch_and_the_seed_only(folder, masked):
    masked.train.begin_epoch(0)
    first = batches(masked)
    masked.train.begin_epoch(1)
    second = batches(masked)
    assert not any(equal(*pair) for pair in zip(first, second, strict=True))
    masked.train.begin_epoch(0)
    random_order = [masked.collate([masked.train[index] for index in (7, 2)]) for _ in range(2)]
    assert equal(*random_order)
    assert all(equal(*pair) for pair in zip(first, batches(prepared(folder)), strict=True))
    other = prepared(folder, seed=43)
    assert not any(equal(*pair) for pair in zip(first, batches(other), strict=True))
    held = [task.collate([task.evaluation[index] for index in range(4)]) for task in (masked, other)]
    assert equal(*held)


def test_no_generator_is_drawn_from(masked):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    masked.collate([masked.train[0], masked.evaluation[0]])
    assert torch.equal(state, torch.get_rng_state())


def test_workers_that_outlive_an_epoch_see_the_next_one(masked):
    loader = DataLoader(
        masked.train, batch_size=4, collate_fn=masked.collate, num_workers=1, persistent_workers=True
    )
    for epoch in (0, 1, 5):
        masked.train.begin_epoch(epoch)
        assert all(equal(*pair) for pair in zip(loader, batches(masked), strict=True))


def test_an_epoch_taken_up_in_the_middle_goes_on_as_it_was(masked):
    """Accelerate fetches a batch ahead, and gives a resumed loader epoch numbers of its own."""
    loader: Any = Accelerator(cpu=True).prepare(
        DataLoader(masked.train, batch_size=4, collate_fn=masked.collate)
    )
    masked.train.begin_epoch(3)
    whole = list(loader)
    masked.train.begin_epoch(3)
    rest = list(skip_first_batches(loader, 5))
    assert len(rest) == len(whole) - 5
    assert all(equal(*pair) for pair in zip(rest, whole[5:], strict=True))


def test_a_block_is_a_text_as_the_model_knows_it(masked, causal):
    tokenizer = masked.tokenizer
    ids = masked.evaluation._blocks[0]["input_ids"]
    assert (ids[0], ids[-1], len(ids)) == (tokenizer.cls_token_id, tokenizer.sep_token_id, 16)
    text = "".join(sentences(1, 200))
    first = causal.tokenizer.decode(causal.train[0]["input_ids"])
    assert text.startswith(first) and first
    batch = causal.collate([causal.train[index] for index in range(3)])
    assert batch["labels"].tolist() == batch["input_ids"].tolist()


@pytest.mark.parametrize("task", ["mlm", "clm"])
def test_both_learn_and_score_says_so(folder, task):
    made, module = prepared(folder, task=task), {"mlm": mlm, "clm": clm}[task]
    rows = [{"text": line} for line in sentences(2, 60)]
    score = {"batch_size": 8, "say": print}
    before = module.score(made, rows, **score)
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=1e-2)
    for _ in range(2):
        for batch in batches(made):
            optimizer.zero_grad()
            made.model(**batch).loss.backward()
            optimizer.step()
    after = module.score(made, rows, **score)
    assert after["loss"] < before["loss"] - 1
    assert (
        after["perplexity"] == math.exp(after["loss"]) == made.more_metrics(made, after["loss"])["perplexity"]
    )
    held = [made.evaluation[index] for index in range(len(made.evaluation))]
    made.model.eval()
    losses, labels = 0.0, 0
    with torch.no_grad():
        for first in range(0, len(held), 3):
            batch = made.collate(held[first : first + 3])
            counted = int(labels_in(batch, shifted=task == "clm"))
            losses, labels = losses + float(made.model(**batch).loss) * counted, labels + counted
    assert after["loss"] == pytest.approx(losses / labels, rel=1e-5)  # of each label alike, as in training


def test_masks_are_filled_whatever_they_are_called_and_however_long_the_text(masked):
    long = "the cat " * 40 + "[MASK] sat on a mat " + "and saw " * 40 + "<mask>."
    rows = [{"text": "The cat <mask> on a [MASK]."}, {"text": long}, {"text": "[MASK]"}]
    found = mlm.predict(masked, rows, batch_size=2)
    assert [len(row["masks"]) for row in found] == [2, 2, 1]
    assert [row["text"] for row in found] == [row["text"] for row in rows]
    for row in found:
        scores = [[guess["score"] for guess in mask] for mask in row["masks"]]
        assert all(len(part) == 5 and part == sorted(part, reverse=True) for part in scores)
        assert "MASK" not in row["filled"] and "<mask>" not in row["filled"]
    alone = mlm.predict(masked, rows[:1], batch_size=1)
    assert alone[0]["filled"] == found[0]["filled"]


def test_a_piece_that_goes_on_a_word_is_joined_to_it():
    from transformer_e2e.tasks.filling import _filled

    guesses = [[{"token": "##ing"}], [{"token": "mat"}]]
    assert _filled("the cat is sitt [MASK] on a [MASK].", "[MASK]", guesses) == "the cat is sitting on a mat."


def test_a_text_without_a_mask_is_refused(masked):
    rows = [{"text": "[MASK]"}, {"text": "no"}, {"body": 3}]
    with pytest.raises(DataError, match=r"nothing to fill in text 2: write \[MASK\]"):
        mlm.predict(masked, rows[:2], batch_size=2)
    with pytest.raises(DataError, match="example 3 has no text in text; it has body"):
        mlm.predict(masked, rows, batch_size=2)


def test_texts_are_continued_in_their_order_also_long_and_empty_ones(causal):
    rows = [{"text": "the cat sat"}, {"text": ""}, {"text": "the cat sat on a mat " * 30}]
    found = clm.predict(causal, rows, batch_size=2)
    assert [row["text"] for row in found] == [row["text"] for row in rows]
    assert found == [clm.predict(causal, [row], batch_size=1)[0] for row in rows]


def test_limits_count_blocks(folder):
    limited = prepared(folder, max_train_samples=7, max_eval_samples=3)
    assert (len(limited.train), len(limited.evaluation)) == (7, 3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"block_size": 1000},
            r"--block_size=1000, but the validation text of train.txt has \d+ tokens; the",
        ),
        (
            {"model_type": "gpt2", "text_column_names": "body"},
            "gpt2 model cannot be .*\n.*=body is not there",
        ),
        ({"train_file": "nowhere.txt", "model_type": "brt"}, "did you mean bert(.|\n)*there is no such file"),
    ],
)
def test_wrong_input_is_found_before_anything_is_begun(folder, changes, expected):
    with pytest.raises(UserError, match=expected):
        mlm.open_task(given(folder, **changes), print)


def test_a_tokenizer_without_a_mask_is_refused(folder, causal):
    causal.tokenizer.save_pretrained(folder / "writer")
    with pytest.raises(ConfigError, match="mlm needs a tokenizer with a mask token"):
        mlm.open_task(given(folder, tokenizer_name=str(folder / "writer")), print)()
