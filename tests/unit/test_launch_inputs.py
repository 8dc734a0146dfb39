"""Inputs of a model come from wherever they are, by the model's own names, or are refused with the reason."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from transformer_e2e.config.use import InferenceSettings
from transformer_e2e.data.schema import Schema
from transformer_e2e.errors import ConfigError, DataError, UserError
from transformer_e2e.launch.inputs import batches

ONE = Schema(task="classification", data_name="x", max_length=8, text_fields=("body",), label_field="label")
TWO = Schema(task="extractive_qa", data_name="x", max_length=8, text_fields=("question", "context"))


def inputs(schema: Schema, **settings: Any) -> list[list[Mapping[str, Any]]]:
    return list(batches(InferenceSettings(**settings), schema, lambda text: None))


def from_input(monkeypatch: pytest.MonkeyPatch, content: bytes, schema: Schema, **settings: Any) -> list[Any]:
    buffer = io.BytesIO(content)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer, isatty=lambda: False))
    return inputs(schema, **settings)


def test_texts_are_taken_one_by_one_in_turn_or_with_one_context() -> None:
    rows = [{"body": text} for text in ("a", "b", "c")]
    assert inputs(ONE, text=("a", "b", "c"), batch_size=2) == [rows[:2], rows[2:]]
    pairs = [{"question": "a", "context": "b"}, {"question": "c", "context": "d"}]
    assert inputs(TWO, text=("a", "b", "c", "d")) == [pairs]
    assert inputs(TWO, text=("a", "c"), context="b") == [
        [{"question": "a", "context": "b"}, {"question": "c", "context": "b"}]
    ]
    with pytest.raises(ConfigError, match=r"two texts in turn, question and context, and 3 .*--context"):
        inputs(TWO, text=("a", "b", "c"))
    with pytest.raises(ConfigError, match="--context is for models of two texts"):
        inputs(ONE, text=("a",), context="b")


def test_a_file_gives_its_rows_with_their_other_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,body,other\n7,first,x\n8,12,y\n")
    assert inputs(ONE, file=str(tmp_path / "a.csv")) == [
        [{"id": 7, "body": "first", "other": "x"}, {"id": 8, "body": "12", "other": "y"}]
    ]
    (tmp_path / "b.jsonl").write_text('{"body": "é"}\n{"body": "two\\nlines"}\n')
    assert inputs(ONE, file=str(tmp_path / "b.jsonl")) == [[{"body": "é"}, {"body": "two\nlines"}]]
    (tmp_path / "c.txt").write_text("one \n\n two\n")
    assert inputs(ONE, file=str(tmp_path / "c.txt")) == [[{"body": "one "}, {"body": " two"}]]
    assert inputs(TWO, file=str(tmp_path / "c.txt"), context="z")[0][1] == {
        "question": " two",
        "context": "z",
    }
    squad = {"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q"}]}]}]}
    (tmp_path / "d.json").write_text(json.dumps(squad))
    ((row,),) = inputs(TWO, file=str(tmp_path / "d.json"))
    assert (row["id"], row["question"], row["context"]) == ("1", "q", "c")


def test_columns_of_another_name_are_named_by_the_flag(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,body\ngood,7\n")
    assert inputs(ONE, file=str(tmp_path / "a.csv"), text_column_names="review") == [[{"body": "good"}]]
    (tmp_path / "swap.csv").write_text("question,context\nc,q\n")
    assert inputs(TWO, file=str(tmp_path / "swap.csv"), text_column_names="context, question") == [
        [{"question": "q", "context": "c"}]
    ]


def test_standard_input_is_text_or_json_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    content = '\ufefffirst\r\n\n{"body": "second", "id": 3}\n{no json\n{"other": 1}\n'.encode()
    assert from_input(monkeypatch, content, ONE, batch_size=3) == [
        [{"body": "first"}, {"body": "second", "id": 3}, {"body": "{no json"}],
        [{"body": '{"other": 1}'}],
    ]
    content = b'{"q": "a", "context": "b"}\n'
    found = from_input(monkeypatch, content, TWO, text_column_names="q,context")
    assert [(row["question"], row["context"]) for row in found[0]] == [("a", "b")]
    assert from_input(monkeypatch, b"a\n", TWO, context="b") == [[{"question": "a", "context": "b"}]]


def test_standard_input_is_read_no_further_than_the_batches_that_were_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buffer = io.BytesIO(b"a\nb\nc\nd\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer, isatty=lambda: False))
    stream = batches(InferenceSettings(batch_size=2), ONE, lambda text: None)
    assert next(stream) == [{"body": "a"}, {"body": "b"}]
    assert buffer.tell() == 4


@pytest.mark.parametrize(
    ("content", "name", "settings", "message"),
    [
        ("x,label\n1,2\n", "a.csv", {}, "no column body; it has x, label: say which by"),
        ("boddy\n1\n", "a.csv", {"text_column_names": "body"}, "no column body; .*did you mean boddy"),
        ("x\n1\n", "a.csv", {"text_column_names": "a,b"}, "must name 1, for the model's own body"),
        ('{"body": null}\n{"body": [1]}\n{"body": true}', "a.jsonl", {}, "mixes kinds of values"),
        (
            '{"body": null}\n{"body": "x"}\n{"body": " "}',
            "a.jsonl",
            {},
            'input 1: .* null, .*\n.*input 3: .*" "',
        ),
        ("", "a.csv", {}, "a.csv"),
        (None, "a.csv", {}, "there is no such file"),
        ("x", "a.xml", {}, "must end in one of"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_the_first_batch(
    tmp_path: Path, content: str | None, name: str, settings: dict[str, Any], message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=f"(?s){message}"):
        batches(InferenceSettings(file=str(path), **settings), ONE, lambda text: None)


def test_arguments_that_do_not_suit_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        inputs(ONE, text=("a",), context="b", text_column_names="a,b")
    for message in ("must name 1", "--context is for", "is for files that have columns"):
        assert message in str(caught.value)
    with pytest.raises(ConfigError, match=r"(?s)must name 2.*one text a line.*no such file"):
        inputs(TWO, file=str(tmp_path / "a.txt"), text_column_names="a,a")
    with pytest.raises(DataError, match=r'input 2: body is "\\udcff", no valid Unicode'):
        inputs(ONE, text=("a", "\udcff"))


def test_every_mistake_is_told_but_not_a_hundred_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("body,x\n" + ",1\n" * 100)
    with pytest.raises(DataError) as caught:
        inputs(ONE, file=str(tmp_path / "a.csv"))
    assert len(str(caught.value).splitlines()) == 7 and "and 95 more" in str(caught.value)


def test_a_line_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r'line 2 is no JSON object such as \{"question": "\.\.\."'):
        from_input(monkeypatch, b'{"question": "a", "context": "b"}\ntext\n', TWO)
    with pytest.raises(DataError, match=r"line 1 is no UTF-8 text \(byte 1\)"):
        from_input(monkeypatch, b"a\xff\n", ONE)
    with pytest.raises(DataError, match="input 1: context is null, no text"):
        from_input(monkeypatch, b'{"question": "a"}\n', TWO)
