"""Both question answering tasks from a file of questions to metrics, with tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.hf_arguments import arguments
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.labels import span_loss
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks.prompts import IGNORED
from transformer_e2e.tasks.registry import task

TINY = "hidden_size=32,num_hidden_layers=1,num_attention_heads=2"
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
BOTH = pytest.mark.parametrize("name", ["extractive_qa", "generative_qa"])


def rows(count: int, answered: int | None = None) -> list[dict[str, Any]]:
    """Each word of a long context is asked for by its neighbour; those from `answered` on have no answer."""
    found = []
    for number in range(count):
        words = [f"{WORDS[(number + place) % 10]}{place}" for place in range(60)]
        context, asked = " ".join(words), 5 + number % 20
        start = context.index(words[asked])
        answers = {"text": [words[asked]], "answer_start": [start]}
        if answered is not None and number >= answered:
            answers = {"text": [], "answer_start": []}
        question = f"what follows {words[asked - 1]}?"
        found.append({"id": str(number), "question": question, "context": context, "answers": answers})
    return found


def opened(name: str, folder: Path, **changes: Any) -> tuple[Arguments, list[str]]:
    folder.mkdir(exist_ok=True)
    for split, count in (("train", 20), ("validation", 7)):
        (folder / f"{split}.json").write_text(json.dumps(rows(count, changes.pop(split, None))))
    given = arguments(
        task=name,
        vocab_size=400,
        cache_dir=str(folder.parent / "cache"),
        **{
            "train_file": str(folder / "train.json"),
            "validation_file": str(folder / "validation.json"),
            "config_overrides": TINY,
            "max_seq_length": 64 if name == "extractive_qa" else 160,
            "doc_stride": 16,
            **changes,
        },
    )
    given.training.per_device_eval_batch_size = 4
    return given, []


def prepared(name: str, folder: Path, **changes: Any) -> Prepared:
    given, said = opened(name, folder, **changes)
    return task(name).open_task(given, said.append)()


def batch(examples: Any, made: Prepared) -> Any:
    return made.collate([examples[number] for number in range(len(examples))])


@BOTH
def test_a_model_learns_from_its_batches(name: str, tmp_path: Path) -> None:
    """The loss is finite, and pure collation gives the same tensors twice."""
    made = prepared(name, tmp_path / "data")
    tensors, again = batch(made.train, made), batch(made.train, made)
    assert all((tensors[key] == again[key]).all() for key in tensors)
    loss = made.model(**tensors).loss
    loss.backward()
    assert loss.item() > 0 and made.schema.task == name and made.schema.data_name == "train.json"


@BOTH
def test_batches_are_as_wide_as_asked(name: str, tmp_path: Path) -> None:
    made = prepared(name, tmp_path / "data", pad_to_max_length=True)
    assert batch(made.train, made)["input_ids"].shape[1] == made.schema.max_length
    made = prepared(name, tmp_path / "data", max_seq_length=170, max_answer_length=10)
    assert batch(made.train, made)["attention_mask"].all(dim=0).any()
    assert batch(made.train, made)["input_ids"].shape[1] < 170


def test_perfect_scores_are_perfect(tmp_path: Path) -> None:
    """Logits that say what the labels say give EM and F1 of 100; shifted by one token they do not."""
    made = prepared("extractive_qa", tmp_path / "data")
    tensors = batch(made.evaluation, made)
    windows, tokens = tensors["input_ids"].shape
    assert windows > 7 and made.metrics is not None
    start, end = np.zeros((windows, tokens)), np.zeros((windows, tokens))
    start[range(windows), tensors["start_positions"]] = 9
    end[range(windows), tensors["end_positions"]] = 9
    said: Any = SimpleNamespace(predictions=(start, end))
    assert made.metrics(said) == {"exact_match": 100.0, "f1": 100.0}
    said.predictions = (np.roll(start, 1, axis=1), np.roll(end, 1, axis=1))
    assert made.metrics(said)["exact_match"] < 100


@pytest.mark.parametrize("learned", [True, False])
def test_no_answer_is_said_only_where_it_was_learned(learned: bool, tmp_path: Path) -> None:
    made = prepared("extractive_qa", tmp_path / "data", train=10 if learned else None, validation=0)
    tensors = batch(made.evaluation, made)
    shape = tuple(tensors["input_ids"].shape)
    start = np.zeros(shape)
    start[:, 0] = 9
    said: Any = SimpleNamespace(predictions=(start, start))
    assert made.metrics is not None
    assert made.metrics(said)["exact_match"] == (100 if learned else 0)


def test_scores_of_training_and_of_a_model_in_use_agree(tmp_path: Path) -> None:
    made = prepared("extractive_qa", tmp_path / "data")
    module, questions = task("extractive_qa"), rows(7)
    inputs = batch(made.evaluation, made)
    output = made.model.eval()(**inputs)
    said: Any = SimpleNamespace(
        predictions=(output.start_logits.detach().numpy(), output.end_logits.detach().numpy())
    )
    found = module.score(made, questions, batch_size=3, say=print)
    assert made.metrics is not None
    assert found == {"loss": pytest.approx(span_loss(output, inputs).item(), rel=1e-5), **made.metrics(said)}
    answers = module.predict(made, questions, batch_size=3)
    for row, answer in zip(questions, answers, strict=True):
        assert answer["answer"] == row["context"][answer["start"] : answer["end"]]
        assert 0 <= answer["score"] <= 1
    json.dumps(answers)


def test_written_answers_are_judged_in_training_and_in_use_alike(tmp_path: Path) -> None:
    made = prepared("generative_qa", tmp_path / "data", max_seq_length=512)
    module, questions = task("generative_qa"), rows(7)
    assert made.more_metrics is not None
    judged = made.more_metrics(made, 1.0)
    found = module.score(made, questions, batch_size=4, say=print)
    assert {name: found[name] for name in ("exact_match", "f1")} == judged
    answers = module.predict(made, questions, batch_size=4)
    assert [set(answer) for answer in answers] == [{"question", "answer", "score"}] * 7


def test_contexts_without_their_end_are_marked_and_counted(tmp_path: Path) -> None:
    given, said = opened("generative_qa", tmp_path / "data", max_seq_length=80)
    made = task("generative_qa").open_task(given, said.append)()
    assert [line for line in said if "fit" in line] == [
        f"note: {count} of {count} {part} contexts do not fit into --max_seq_length=80 tokens: only their "
        "start is read"
        for count, part in ((20, "training"), (7, "held-out"))
    ]
    long, *_ = rows(1)
    asked = [long, {**long, "context": "alpha0 beta1"}]
    answers = task("generative_qa").predict(made, asked, batch_size=2)
    assert [answer.get("truncated") for answer in answers] == [True, None]
    noted: list[str] = []
    task("generative_qa").score(made, [long], batch_size=2, say=noted.append)
    assert noted == ["note: 1 of 1 contexts do not fit into the model's 80 tokens: only their start is read"]


def test_the_loss_counts_answers_alone(tmp_path: Path) -> None:
    made = prepared("generative_qa", tmp_path / "data")
    tensors = batch(made.train, made)
    counted = tensors["labels"] != IGNORED
    assert (counted.sum(dim=1) < 20).all() and (counted.sum(dim=1) > 1).all()
    assert (tensors["labels"][counted] == tensors["input_ids"][counted]).all()


def test_lengths_that_cannot_be_are_told_together(tmp_path: Path) -> None:
    changes = {"max_seq_length": 40, "doc_stride": 30, "config_overrides": "hiden_size=3"}
    given, said = opened("extractive_qa", tmp_path / "data", text_column_names="ask,context", **changes)
    with pytest.raises(ConfigError) as caught:
        task("extractive_qa").open_task(given, said.append)
    for part in ("--doc_stride=30 must be at most 15", "hiden_size", "20 rows, of which", "20 without ask;"):
        assert part in str(caught.value)
    given, said = opened("generative_qa", tmp_path / "data", max_seq_length=20, text_column_names="ask")
    with pytest.raises(ConfigError) as caught:
        task("generative_qa").open_task(given, said.append)
    for part in ("max_seq_length=20 must be at least", "--text_column_names=ask must be two names"):
        assert part in str(caught.value)


@BOTH
def test_columns_of_other_names_are_used(name: str, tmp_path: Path) -> None:
    names = {"question": "ask", "context": "passage", "answers": "reply"}
    path = tmp_path / "questions.jsonl"
    renamed = [{names.get(key, key): value for key, value in row.items()} for row in rows(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in renamed))
    changes = {"text_column_names": "ask, passage", "label_column_name": "reply"}
    made = prepared(name, tmp_path / "data", train_file=str(path), validation_file=str(path), **changes)
    assert (made.schema.text_fields, made.schema.label_field) == (("ask", "passage"), "reply")
    found = task(name).score(made, renamed[:3], batch_size=2, say=lambda line: None)
    assert set(found) == {"loss", "exact_match", "f1"}
