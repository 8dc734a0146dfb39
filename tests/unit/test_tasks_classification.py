"""Promises of classification: what is learnt is what is measured and predicted, for classes and numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset
from transformers import EvalPrediction

from tests.hf_arguments import arguments
from transformer_e2e.data.tables import load_table
from transformer_e2e.errors import DataError, UserError
from transformer_e2e.hf.loading import load_pipeline
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks.classification import open_task, predict, score

COLOURS = {"sky": "blue", "grass": "green", "rose": "red"}
FILLERS = ["today", "we", "saw", "the", "very", "nice", "old", "and", "so", "on"]
SETTINGS: dict[str, Any] = {
    "task": "classification",
    "validation_split_percentage": 20,
    "vocab_size": 300,
    "config_overrides": "hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64",
    "max_seq_length": 16,
}


def quiet(text: str) -> None:
    pass


def sentence(word: str, seed: int) -> str:
    words = [*random.Random(seed).choices(FILLERS, k=seed % 7), word]
    return " ".join(random.Random(seed).sample(words, k=len(words)))


ROWS = [
    {"text": sentence(word, seed), "label": COLOURS[word], "value": float(place)}
    for seed in range(40)
    for place, word in enumerate(COLOURS)
]


def prepared(
    tmp_path: Path, rows: Sequence[dict[str, Any]] = ROWS, *, say: Any = quiet, **changes: Any
) -> Prepared:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = {"train_file": str(path), "cache_dir": str(tmp_path / "cache")}
    torch.manual_seed(0)
    return open_task(arguments(**{**SETTINGS, **places, **changes}), say)()


def trained(tmp_path: Path, **changes: Any) -> Prepared:
    """The smallest loop over what the task prepares."""
    made = prepared(tmp_path, **changes)
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=3e-3)
    made.model.train()
    for step in range(60):
        batch = made.collate([made.train[(step * 16 + i) % len(made.train)] for i in range(16)])
        made.model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    made.model.eval()
    return made


def evaluated(made: Prepared) -> dict[str, float]:
    """As Trainer does it: logits are reduced a batch at a time."""
    assert made.metrics and made.reduce_logits
    batch = made.collate([made.evaluation[place] for place in range(len(made.evaluation))])
    with torch.inference_mode():
        output = made.model(**batch)
    reduced = made.reduce_logits(output.logits, batch["labels"])
    assert reduced.ndim == 1
    return made.metrics(EvalPrediction(reduced.numpy(), batch["labels"].numpy()))


def ask(made: Prepared, rows: Sequence[dict[str, Any]], size: int = 5) -> list[dict[str, Any]]:
    return predict(made, rows, batch_size=size)


def measure(made: Prepared, rows: Sequence[dict[str, Any]], say: Any = quiet) -> dict[str, float]:
    return score(made, rows, batch_size=7, say=say)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def colours(folder) -> Prepared:
    return trained(folder)


class TestClasses:
    def test_are_learnt_and_measured(self, colours):
        assert colours.schema.labels == ("blue", "green", "red")
        assert colours.model.config.id2label == {0: "blue", 1: "green", 2: "red"}
        found = evaluated(colours)
        assert set(found) == {"accuracy", "f1"} and found["accuracy"] > 0.9

    def test_are_predicted_with_confidences_in_the_order_of_the_rows(self, colours):
        rows = [{"text": text} for text in ("the rose", "we saw the sky today and the sky", "grass")]
        found = ask(colours, rows, size=2)
        assert [row["label"] for row in found] == ["red", "blue", "green"]
        for row in found:
            assert set(row["confidences"]) == {"blue", "green", "red"}
            assert sum(row["confidences"].values()) == pytest.approx(1, abs=1e-5)
            assert row["confidence"] == max(row["confidences"].values()) == row["confidences"][row["label"]]
        json.dumps(found)

    def test_score_agrees_with_predict(self, colours):
        found = measure(colours, ROWS)
        right = [row["label"] == own["label"] for row, own in zip(ask(colours, ROWS), ROWS, strict=True)]
        assert found["accuracy"] == sum(right) / len(ROWS)

    def test_score_agrees_with_the_evaluation_in_training(self, colours, folder):
        held_out = load_table(
            arguments(**SETTINGS, train_file=str(folder / "rows.jsonl")).data, "validation", quiet
        )
        found = measure(colours, held_out.to_list())
        batch = colours.collate([colours.evaluation[place] for place in range(len(colours.evaluation))])
        assert found.pop("loss") == pytest.approx(float(colours.model(**batch).loss.detach()), rel=1e-5)
        assert found == evaluated(colours)

    def test_a_saved_model_predicts_the_same(self, colours, tmp_path):
        colours.model.save_pretrained(tmp_path)
        colours.tokenizer.save_pretrained(tmp_path)
        colours.schema.save(tmp_path)
        again = predict(load_pipeline(tmp_path, "cpu"), ROWS, batch_size=5)
        assert again == ask(colours, ROWS)

    def test_unlabeled_rows_are_left_out_of_the_score_with_their_number(self, colours):
        said: list[str] = []
        rows = [*ROWS, {"text": "the rose", "label": None}, {"text": "the rose", "label": -1}]
        assert measure(colours, rows, said.append) == measure(colours, ROWS)
        assert said == ["2 of 122 examples have no label; they are left out"]

    @pytest.mark.parametrize("row", [{"text": "a"}, {"text": "a", "label": -1}])
    def test_a_split_without_labels_cannot_be_scored(self, colours, row):
        with pytest.raises(DataError, match="none of the 3 examples has a label in column label"):
            measure(colours, [row] * 3)

    def test_what_is_read_in_part_is_marked_and_counted(self, colours):
        said: list[str] = []
        room = colours.schema.max_length - 2  # [CLS] and [SEP]
        rows = [{"text": "sky " * words, "label": "blue"} for words in (room, room + 1, 1, 3 * room)]
        whole, long, *_ = ask(colours, rows)
        assert [row.get("truncated") for row in ask(colours, rows)] == [None, True, None, True]
        assert long == {**whole, "truncated": True}  # the same words are read
        measure(colours, rows, said.append)
        assert said == [
            "note: 2 of 4 examples do not fit into the model's 16 tokens: only their start is read"
        ]

    def test_an_unknown_label_is_named(self, colours):
        with pytest.raises(
            DataError, match="holds bleu, but the labels are blue, green, red; did you mean blue"
        ):
            measure(colours, [{"text": "sky", "label": "bleu"}])

    def test_rows_without_the_text_are_refused_with_what_they_have(self, colours):
        with pytest.raises(DataError, match="no column text: the model reads text, and it has sentence"):
            ask(colours, [{"sentence": "the sky"}])

    def test_nothing_in_gives_nothing_out(self, colours):
        assert ask(colours, []) == []


def test_numbers_are_learnt_predicted_and_measured(tmp_path):
    made = trained(tmp_path, label_column_name="value")
    assert made.schema.problem == "regression" and made.schema.labels == ()
    assert made.collate([made.train[0]])["labels"].dtype == torch.float32
    assert set(evaluated(made)) == {"mse", "mae", "pearson", "r2"}
    found = measure(made, ROWS)
    assert found["pearson"] > 0.9 and found["loss"] == found["mse"]
    values = [row["value"] for row in ask(made, [{"text": "the sky"}, {"text": "the rose"}])]
    assert values[0] < values[1]


def test_a_pair_is_one_input_with_two_segments_cut_to_length(tmp_path):
    rows = [{"premise": "sky " * (30 + seed), "hypothesis": "rose", "label": seed % 2} for seed in range(20)]
    said: list[str] = []
    made = prepared(tmp_path, rows, say=said.append)
    assert [line for line in said if "fit" in line] == [
        f"note: {count} of {count} {part} examples do not fit into --max_seq_length=16 tokens: only their "
        "start is read"
        for count, part in ((16, "training"), (4, "held-out"))
    ]
    example = made.train[0]
    assert set(example) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    assert len(example["input_ids"]) == 16 and set(example["token_type_ids"]) == {0, 1}
    tokens = made.tokenizer.decode(example["input_ids"])
    assert tokens.endswith("rose [SEP]") and tokens.count("[SEP]") == 2


def test_numbers_of_named_classes_and_their_names_are_one(tmp_path):
    names = ["red", "green", "blue"]
    labelled = [{"text": row["text"], "label": names.index(row["label"])} for row in ROWS]
    table = Dataset.from_list(labelled).cast_column("label", ClassLabel(names=names))
    table.save_to_disk(str(tmp_path / "saved"))
    made = prepared(tmp_path, train_file=None, dataset_name=str(tmp_path / "saved"))
    assert made.schema.labels == tuple(names)
    assert measure(made, labelled) == measure(made, ROWS)


def test_several_processes_tokenise_the_same(tmp_path):
    one, two = (prepared(tmp_path, preprocessing_num_workers=number) for number in (1, 2))
    assert [one.train[i] for i in range(len(one.train))] == [two.train[i] for i in range(len(two.train))]


def test_a_model_that_reads_from_left_to_right_ignores_padding(tmp_path):
    made = trained(tmp_path, model_type="gpt2", config_overrides="n_embd=32,n_layer=1,n_head=2")
    rows = [{"text": "the rose"}, {"text": "we saw the sky today and so on and so on"}]
    together, alone = ask(made, rows, size=2), ask(made, rows, size=1)
    for one, other in zip(together, alone, strict=True):
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-5)


def test_what_is_wrong_with_model_and_data_is_said_together(tmp_path):
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, model_type="brt", label_column_name="lable")
    assert "--model_type=brt" in str(caught.value) and "--label_column_name=lable" in str(caught.value)
