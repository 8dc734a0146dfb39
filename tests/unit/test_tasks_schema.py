"""Promises of schema inference: on every layout of columns the right fields and labels, or a clear error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.data.tables import Tables
from transformer_e2e.errors import DataError
from transformer_e2e.tasks.labelled_texts import LabelledTexts, read_labelled_texts

COUNT = 60
TEXTS = [f"the text of example {i}" for i in range(COUNT)]
OTHERS = [f"another text of example {i}" for i in range(COUNT)]


def cycle(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(COUNT)]


def classes(*names: str) -> dict[str, Any]:
    return {"label": ClassLabel(names=list(names))}


def infer(
    columns: dict[str, list[Any]],
    types: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
    validation: dict[str, list[Any]] | None = None,
    **settings: Any,
) -> LabelledTexts:
    data = DataArguments(task="classification", **settings)
    return read_labelled_texts(
        data, Tables(table(columns, types), table(validation or columns, types), "d", "validation"), say
    )


def targets(found: LabelledTexts, split: str = "train") -> list[Any]:
    return list(found.labels.targets(getattr(found, split)[found.schema.label_field], "d"))


def table(columns: dict[str, list[Any]], types: dict[str, Any] | None) -> Dataset:
    made = Dataset.from_dict(columns)
    known = {name: kind for name, kind in (types or {}).items() if name in columns}
    return made.cast(Features({**made.features, **known})) if known else made


@dataclass(frozen=True)
class Layout:
    columns: dict[str, list[Any]]
    fields: tuple[str, ...]
    label: str
    labels: tuple[str, ...]  # empty: regression
    targets: list[Any]  # of the first examples
    types: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


LAYOUTS = {
    "sst2": Layout(
        {"idx": list(range(COUNT)), "sentence": TEXTS, "label": cycle(0, 1)},
        ("sentence",),
        "label",
        ("negative", "positive"),
        [0, 1, 0],
        classes("negative", "positive"),
    ),
    "imdb, whole numbers without names": Layout(
        {"text": TEXTS, "label": cycle(1, 0)}, ("text",), "label", ("0", "1"), [1, 0, 1]
    ),
    "stars from 1 to 5": Layout(
        {"review_body": TEXTS, "stars": cycle(5, 1, 4, 2, 3)},
        ("review_body",),
        "stars",
        ("1", "2", "3", "4", "5"),
        [4, 0, 3],
    ),
    "mnli": Layout(
        {"premise": TEXTS, "hypothesis": OTHERS, "label": cycle(2, 0, 1), "idx": list(range(COUNT))},
        ("premise", "hypothesis"),
        "label",
        ("yes", "maybe", "no"),
        [2, 0, 1],
        classes("yes", "maybe", "no"),
    ),
    "mrpc": Layout(
        {"sentence1": TEXTS, "sentence2": OTHERS, "label": cycle("same", "other")},
        ("sentence1", "sentence2"),
        "label",
        ("other", "same"),
        [1, 0, 1],
    ),
    "qnli: a pair, though one of them has a single name": Layout(
        {"question": TEXTS, "sentence": OTHERS, "label": cycle(0, 1)},
        ("question", "sentence"),
        "label",
        ("0", "1"),
        [0, 1],
    ),
    "qqp": Layout(
        {"question2": OTHERS, "question1": TEXTS, "label": cycle(False, True)},
        ("question1", "question2"),
        "label",
        ("False", "True"),
        [0, 1],
    ),
    "stsb: decimal numbers": Layout(
        {"sentence1": TEXTS, "sentence2": OTHERS, "label": cycle(0.5, 4.75, 2.0)},
        ("sentence1", "sentence2"),
        "label",
        (),
        [0.5, 4.75, 2.0],
    ),
    "decimal numbers below zero, -1.0 among them": Layout(
        {"text": TEXTS, "score": cycle(-1.0, 0.5, -2.25)}, ("text",), "score", (), [-1.0, 0.5, -2.25]
    ),
    "whole numbers that are no classes": Layout(
        {"text": TEXTS, "target": [i * i for i in range(COUNT)]}, ("text",), "target", (), [0.0, 1.0, 4.0]
    ),
    "scicite: string labels, other columns around": Layout(
        {
            "source": cycle("explicit", "implicit"),
            "citeStart": list(range(COUNT)),
            "sectionName": cycle("Methods", "Results"),
            "string": TEXTS,
            "label": cycle("method", "background", "result"),
        },
        ("string",),
        "label",
        ("background", "method", "result"),
        [1, 0, 2],
    ),
    "a class and its name": Layout(
        {"text": TEXTS, "label_text": cycle("joy", "fear"), "label": cycle(1, 0)},
        ("text",),
        "label",
        ("0", "1"),
        [1, 0],
    ),
    "odd names, strings": Layout({"utt": TEXTS, "cls": cycle("b", "a")}, ("utt",), "cls", ("a", "b"), [1, 0]),
    "odd names, the label first": Layout(
        {"cls": cycle("b", "a"), "utt": TEXTS}, ("utt",), "cls", ("a", "b"), [1, 0]
    ),
    "odd names, an identifier first": Layout(
        {"guid": [f"g{i}" for i in range(COUNT)], "what was said": TEXTS, "kind": cycle(7, 3)},
        ("what was said",),
        "kind",
        ("3", "7"),
        [1, 0],
    ),
    "the built-in table": Layout(
        {"text": TEXTS, "package": cycle("email", "json")}, ("text",), "package", ("email", "json"), [0, 1]
    ),
    "upper-case names": Layout(
        {"Text": TEXTS, "Label": cycle("y", "n")}, ("Text",), "Label", ("n", "y"), [1, 0]
    ),
    "overrides": Layout(
        {"text": TEXTS, "a": OTHERS, "b": TEXTS, "label": cycle(0, 1), "mood": cycle("up", "down")},
        ("b", "a"),
        "mood",
        ("down", "up"),
        [1, 0],
        settings={"text_column_names": "b, a", "label_column_name": "mood"},
    ),
    "numbers as text, said to be numbers": Layout(
        {"text": TEXTS, "label": [str(i / 4) for i in range(COUNT)]},
        ("text",),
        "label",
        (),
        [0.0, 0.25, 0.5],
        settings={"problem_type": "regression"},
    ),
    "decimal numbers, said to be classes": Layout(
        {"text": TEXTS, "label": cycle(0.0, 2.0, 0.5)},
        ("text",),
        "label",
        ("0", "0.5", "2"),
        [0, 2, 1],
        settings={"problem_type": "classification"},
    ),
    "whole numbers above ten in their order": Layout(
        {"text": TEXTS, "label": cycle(10, 9, 11)}, ("text",), "label", ("9", "10", "11"), [1, 0, 2]
    ),
    "texts that are missing": Layout(
        {"text": cycle("a", None), "label": cycle(0, 1)}, ("text",), "label", ("0", "1"), [0, 1]
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_layout_is_understood(layout: Layout):
    found = infer(layout.columns, layout.types, **layout.settings)
    assert found.schema.text_fields == layout.fields
    assert found.schema.label_field == layout.label
    assert found.schema.labels == layout.labels
    assert found.schema.problem == ("classification" if layout.labels else "regression")
    assert targets(found)[: len(layout.targets)] == layout.targets
    assert type(targets(found)[0]) is (int if layout.labels else float)
    assert found.train.column_names == [*layout.fields, layout.label]


PLAIN = {"text": TEXTS, "label": cycle(0, 1)}
REFUSED = {
    "no label": ({"text": TEXTS}, {}, "no column looks like a label.*d has text \\(text\\)"),
    "no text": ({"a": cycle(1, 2), "label": cycle(0, 1)}, {}, "no column holds text.*a \\(whole numbers\\)"),
    "two likely labels": (
        {"utt": TEXTS, "coarse": cycle("a", "b"), "fine": cycle("c", "d", "e")},
        {},
        "may be coarse or fine; --label_column_name=coarse",
    ),
    "several labels for each": (
        {"text": TEXTS, "labels": cycle([0], [0, 1])},
        {},
        "no column looks like a label.*labels \\(nested\\)",
    ),
    "texts as labels": ({"text": TEXTS, "label": OTHERS}, {}, "60 different texts in 60 examples"),
    "one label only": ({"text": TEXTS, "label": cycle("a")}, {}, "only the label a"),
    "unknown overrides, both said": (
        PLAIN,
        {"text_column_names": "txt", "label_column_name": "labels"},
        "no column txt; did you mean text.*labels: there is no such column; did you mean label",
    ),
    "three texts": (PLAIN, {"text_column_names": "a,b,c"}, "names 3 columns"),
    "numbers as the text": (PLAIN, {"text_column_names": "label"}, "label holds no text"),
    "the text as its own label": (
        PLAIN,
        {"text_column_names": "text", "label_column_name": "text"},
        "the column of the text, too",
    ),
    "words as numbers": (
        {"text": TEXTS, "label": cycle("good", "bad")},
        {"problem_type": "regression"},
        "a regression needs numbers; --problem_type=classification",
    ),
    "all unlabeled": ({"text": TEXTS, "label": cycle(-1)}, {}, "missing or -1 in all 60"),
    "an empty column": ({"text": TEXTS, "label": cycle(None)}, {}, "missing or -1 in all 60"),
}


@pytest.mark.parametrize(("columns", "settings", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_clear_is_refused_with_the_way_out(columns, settings, said):
    with pytest.raises(DataError, match=f"(?s){said}"):
        infer(columns, **settings)


class TestUnlabeled:
    @pytest.mark.parametrize(
        ("label", "types"),
        [
            (cycle(0, 1, -1), classes("no", "yes")),
            (cycle(0, 1, -1), {}),
            (cycle(0, 1, None), {}),
            (cycle("no", "yes", None), {}),
            (cycle("no", "yes", " "), {}),
        ],
        ids=["-1 of named classes", "-1", "none", "none among texts", "blank"],
    )
    def test_are_refused_with_their_number_or_left_out_with_it(self, label, types):
        columns = {"text": TEXTS, "label": label}
        with pytest.raises(DataError) as caught:
            infer(columns, types)
        for split in ("train", "validation"):
            assert f"{split} of d: 20 of 60 examples have no label" in str(caught.value)
        assert "--drop_unlabeled" in str(caught.value)
        said: list[str] = []
        found = infer(columns, types, said.append, drop_unlabeled=True)
        assert sum("20 of 60 examples have no label" in text for text in said) == 2
        assert targets(found) == [0, 1] * 20
        assert found.train["text"][:3] == [TEXTS[0], TEXTS[1], TEXTS[3]]
        assert len(found.schema.labels) == 2

    def test_of_numbers_are_only_those_that_are_no_number(self):
        columns = {"text": TEXTS, "label": cycle(0.5, float("nan"), -1.0)}
        found = infer(columns, drop_unlabeled=True)
        assert targets(found)[:2] == [0.5, -1.0] and len(found.train) == 40

    @pytest.mark.parametrize("drop", [False, True])
    def test_a_validation_split_without_any_label_judges_nothing(self, drop):
        unlabeled = {"text": TEXTS, "label": cycle(-1)}
        with pytest.raises(
            DataError, match="validation of d has no labels: label is missing or -1 in all 60"
        ):
            infer(PLAIN, validation=unlabeled, drop_unlabeled=drop)
        with pytest.raises(DataError, match="validation of d has no column label"):
            infer(PLAIN, validation={"text": TEXTS}, drop_unlabeled=drop)


class TestTwoSplits:
    def test_a_label_of_validation_alone_is_a_class_too(self):
        said: list[str] = []
        validation = {"text": TEXTS, "label": cycle("b", "c")}
        found = infer({"text": TEXTS, "label": cycle("a", "c")}, say=said.append, validation=validation)
        assert said[-1] == "note: no training example has the label b"
        assert found.schema.labels == ("a", "b", "c")
        assert targets(found, "validation")[:2] == [1, 2]

    def test_a_number_beyond_the_named_classes_is_refused(self):
        small = {"text": TEXTS, "label": ClassLabel(names=["a", "b"])}
        train = Dataset.from_dict(PLAIN).cast(Features({"text": Value("string"), "label": small["label"]}))
        strange = Dataset.from_dict({"text": TEXTS, "label": cycle(0, 5)})
        with pytest.raises(DataError, match="holds 5, but the labels are a, b"):
            read_labelled_texts(
                DataArguments(task="classification"), Tables(train, strange, "d", "validation"), print
            )

    def test_what_was_inferred_is_said(self):
        said: list[str] = []
        infer({"premise": TEXTS, "hypothesis": OTHERS, "label": cycle("a", "b")}, say=said.append)
        assert said == ["text: premise + hypothesis; label: one of 2 labels: a, b"]
