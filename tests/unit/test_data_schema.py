"""A schema comes back from its file as it was, and a file that is none is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transformer_e2e.data.schema import Schema
from transformer_e2e.errors import CheckpointError

SCHEMA = Schema(
    task="classification",
    data_name="reviews.csv",
    max_length=64,
    text_fields=("title", "body"),
    label_field="stars",
    labels=("bad", "good"),
    problem="classification",
    extra={"seen": [1, 2]},
)


def test_it_is_the_same_after_a_file_and_as_json(tmp_path: Path) -> None:
    SCHEMA.save(tmp_path)
    assert Schema.load(tmp_path) == SCHEMA
    assert SCHEMA.as_json() == json.loads((tmp_path / "schema.json").read_text())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task": "mlm"}', '{"text_fields": [], "labels": 3}'])
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"schema\.json"):
        Schema.load(tmp_path)
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"schema\.json"):
        Schema.load(tmp_path)
