"""Promises of the tables: the same rows from every form, a stable hold-out, errors that say what works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.data import python_docs
from transformer_e2e.data.table_files import read_table
from transformer_e2e.data.tables import load_table, load_tables
from transformer_e2e.errors import DataError, UserError

ROWS = [{"text": f'text {i}, "quoted"', "label": i % 3} for i in range(40)]


def quiet(text: str) -> None:
    pass


def arguments(task: str = "classification", **settings: Any) -> DataArguments:
    return DataArguments(task=task, **{name: _plain(value) for name, value in settings.items()})


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    return write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))


class TestFiles:
    def test_every_form_gives_the_same_rows(self, tmp_path, jsonl):
        cells = [(row["text"].replace('"', '""'), row["label"]) for row in ROWS]
        comma = [f'"{text}",{label}\n' for text, label in cells]
        tab = [f'"{text}"\t{label}\n' for text, label in cells]
        files = [
            jsonl,
            write(tmp_path / "list.json", json.dumps(ROWS)),
            write(tmp_path / "wrapped.json", json.dumps({"version": 1, "data": ROWS})),
            write(tmp_path / "lines.json", jsonl.read_text()),
            write(tmp_path / "a.csv", "text,label\n" + "".join(comma)),
            write(tmp_path / "a.tsv", "text\tlabel\n" + "".join(tab)),
        ]
        for path in files:
            assert read_table(path).to_list() == ROWS, path

    def test_words_that_mean_nothing_elsewhere_are_words(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label\nNA,None\nnull,yes\n,\nnan,yes\n")
        expected = [("NA", "None"), ("null", "yes"), (None, None), ("nan", "yes")]
        assert [(row["text"], row["label"]) for row in read_table(path).to_list()] == expected

    @pytest.mark.parametrize("last", ['"so', 'and"'], ids=["closed later", "never closed"])
    def test_quotes_of_a_tsv_file_may_be_characters(self, tmp_path, last):
        path = write(tmp_path / "a.tsv", f'text\tlabel\n"Go\tyes\nwell\tno\n{last}\tyes\n')
        expected = [('"Go', "yes"), ("well", "no"), (last, "yes")]
        assert [(row["text"], row["label"]) for row in read_table(path).to_list()] == expected

    def test_quotes_of_a_tsv_file_may_hold_tabs(self, tmp_path):
        table = read_table(write(tmp_path / "a.tsv", 'text\tlabel\nb\tno\n"a\tb"\tyes\n'))
        assert table.to_list() == [{"text": "b", "label": "no"}, {"text": "a\tb", "label": "yes"}]

    def test_whole_numbers_stay_whole_beside_empty_cells(self, tmp_path):
        table = read_table(write(tmp_path / "a.csv", "text,label\na,1\nb,\nc,2\n"))
        assert table["label"][:] == [1, None, 2] and table.features["label"].dtype == "int64"

    def test_squad_is_laid_flat(self, tmp_path):
        asked = {"id": "7", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}
        article = {"title": "T", "paragraphs": [{"context": "Ann ran.", "qas": [asked]}]}
        table = read_table(write(tmp_path / "squad.json", json.dumps({"version": "1.1", "data": [article]})))
        answers = {"text": ["Ann"], "answer_start": [0]}
        expected = {"id": "7", "title": "T", "context": "Ann ran.", "question": "Who?", "answers": answers}
        assert table.to_list() == [expected]

    def test_keys_that_some_rows_lack_are_none(self, tmp_path):
        table = read_table(write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2, "b": "x"}\n'))
        assert table.to_list() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]

    def test_running_text_keeps_its_lines_and_breaks(self, tmp_path):
        path = write(tmp_path / "a.txt", "one\n\ntwo\u2028three\nfour")
        assert read_table(path)["text"][:] == ["one\n", "\n", "two\u2028three\n", "four"]
        assert load_table(arguments(validation_file=path), "validation", quiet)["text"][:] == [
            "one",
            "two\u2028three",
            "four",
        ]

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2"),
            ("a.jsonl", '{"a": 1}\n[2]\n', "example 2 is a list"),
            ("a.jsonl", '{"a": 1, "b": 1}\n{"a": "x", "b": 2}\n', "column a mixes"),
            ("a.json", '"x"', "a list of objects"),
            ("a.json", '{"data": [{"paragraphs": [{"qas": []}]}, {"paragraphs": 3}]}', "SQuAD"),
            ("a.csv", "", "header"),
            ("a.csv", "text,label\n", "holds no rows"),
            ("a.csv", "text,label\na,1\nb,2,3,4\n", "line 3"),
            ("a.csv", "text,label\na,1,x\nb,2,x\n", "more cells than its header"),
        ],
    )
    def test_a_broken_file_is_said_to_be_broken_where_it_is(self, tmp_path, name, text, said):
        with pytest.raises(DataError, match=said) as caught:
            read_table(write(tmp_path / name, text))
        assert name in str(caught.value)

    def test_latin_1_is_named(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("text,label\ncafé,1\n".encode("latin-1"))
        with pytest.raises(DataError, match="iconv"):
            read_table(tmp_path / "a.csv")


class TestSplits:
    def test_the_hold_out_is_a_function_of_the_data(self, jsonl, tmp_path):
        settings = arguments(train_file=jsonl, validation_split_percentage=20)
        first = load_tables(settings, seed=1, say=quiet)
        second = load_tables(settings, seed=2, say=quiet)
        assert first.train.to_list() == second.train.to_list()
        assert first.validation.to_list() == second.validation.to_list()
        assert len(first.validation) == 8 and first.validation_split == "20% of train"
        known = {row["text"] for row in first.train.to_list()}
        assert len(known) == 32 and not known & set(first.validation["text"])
        assert load_table(settings, "validation", quiet).to_list() == first.validation.to_list()
        assert load_table(settings, "train", quiet).to_list() == first.train.to_list()
        backwards = write(tmp_path / "b.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS[::-1]))
        again = load_tables(
            arguments(train_file=backwards, validation_split_percentage=20), seed=1, say=quiet
        )
        assert again.validation.to_list() == first.validation.to_list()[::-1]

    def test_equal_texts_stand_on_one_side(self, tmp_path):
        twice = [{"id": f"n{i}", "text": row["text"], "label": "ab"[i % 2]} for i, row in enumerate(ROWS * 3)]
        path = write(tmp_path / "twice.json", json.dumps(twice))
        found = load_tables(arguments(train_file=path, validation_split_percentage=30), seed=0, say=quiet)
        assert not set(found.train["text"]) & set(found.validation["text"])

    def test_questions_about_one_context_stay_together(self, tmp_path):
        rows = [{"context": f"c{i // 4}", "question": f"q{i}"} for i in range(80)]
        path = write(tmp_path / "qa.json", json.dumps(rows))
        found = load_tables(arguments("extractive_qa", train_file=path), seed=0, say=quiet)
        assert len(found.validation) == 4 and len(set(found.validation["context"])) == 1

    def test_of_running_text_the_end_is_held_out_and_rows_are_not_limited(self, tmp_path):
        path = write(tmp_path / "a.txt", "".join(f"line {i}\n" for i in range(100)))
        settings = arguments("mlm", train_file=path, max_train_samples=3, max_eval_samples=2)
        found = load_tables(settings, seed=0, say=quiet)
        assert found.validation["text"][:] == [f"line {i}\n" for i in range(95, 100)]
        assert len(found.train) == 95

    def test_limits_keep_a_spread_choice_in_order(self, jsonl):
        settings = arguments(
            train_file=jsonl, validation_file=jsonl, max_train_samples=10, max_eval_samples=5
        )
        found = load_tables(settings, seed=1, say=quiet)
        texts = [row["text"] for row in ROWS]
        places = [texts.index(text) for text in found.train["text"]]
        assert len(places) == 10 and places == sorted(places) and places[-1] > 12
        other = load_tables(settings, seed=2, say=quiet)
        assert other.train.to_list() != found.train.to_list()
        assert other.validation.to_list() == found.validation.to_list()
        assert load_table(settings, "validation", quiet).to_list() == found.validation.to_list()

    @pytest.mark.parametrize("name", ["validation", "dev", "validation_matched"])
    def test_a_saved_data_set_brings_its_splits(self, tmp_path, name):
        table = Dataset.from_list(ROWS)
        DatasetDict({"train": table, name: table.select([0, 1]), "test": table.select([2])}).save_to_disk(
            str(tmp_path / "saved")
        )
        settings = arguments(dataset_name=tmp_path / "saved")
        found = load_tables(settings, seed=0, say=quiet)
        assert (len(found.train), len(found.validation), found.validation_split) == (40, 2, name)
        assert found.name == str(tmp_path / "saved")
        assert len(load_table(settings, "test", quiet)) == 1
        with pytest.raises(DataError, match=f"it has train, {name}, test; did you mean test"):
            load_table(settings, "tset", quiet)

    def test_a_folder_of_data_files_is_a_data_set(self, tmp_path, monkeypatch):
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
        folder = tmp_path / "folder"
        folder.mkdir()
        for split in ("train", "validation"):
            write(folder / f"{split}.csv", "text,label\na,1\nb,2\n")
        found = load_tables(arguments(dataset_name=folder), seed=0, say=quiet)
        assert (len(found.train), found.validation_split) == (2, "validation")

    def test_python_docs_is_the_corpus_of_the_other_path(self, tmp_path, monkeypatch):
        for number in range(30):
            write(tmp_path / f"m{number}.py", f'"""Module {number}. """' + "\n")
        monkeypatch.setattr(python_docs, "standard_library", lambda: tmp_path)
        found = load_tables(arguments("mlm"), seed=0, say=quiet)
        train, validation = python_docs.read_split(tmp_path, 0.05)
        assert (tuple(found.train["text"]), tuple(found.validation["text"])) == (train, validation)
        assert found.name == "python-docs"


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"train_file": "nowhere/rows.jsonl"}, "no such file"),
            ({"train_file": "rows.xlsx"}, "must end in one of .csv"),
            ({"dataset_name": "python-docs-q"}, "did you mean python-docs-qa"),
            ({"dataset_name": "./nowhere"}, "no such folder"),
            (
                {"dataset_config_name": "x"},
                "name=x is for data sets on the hub, not for python-docstrings",
            ),
            ({"dataset_name": "two words"}, "no name of a data set"),
        ],
    )
    def test_what_cannot_be_a_data_set_is_refused_at_once(self, settings, said):
        with pytest.raises(UserError, match=said):
            load_tables(arguments(**settings), seed=0, say=quiet)

    def test_all_problems_are_said_at_once(self, jsonl):
        settings = arguments(train_file="a.xlsx", validation_file="b.jsonl", dataset_name="squad")
        with pytest.raises(UserError) as caught:
            load_tables(settings, seed=0, say=quiet)
        assert all(word in str(caught.value) for word in ("a.xlsx", "b.jsonl", "exclude each other"))

    def test_a_file_is_no_data_set_name(self, jsonl):
        with pytest.raises(UserError, match=f"give it as --train_file={jsonl}"):
            load_tables(arguments(dataset_name=jsonl), seed=0, say=quiet)

    def test_training_needs_a_train_split(self, jsonl):
        with pytest.raises(DataError, match="no split named train; it has validation"):
            load_tables(arguments(validation_file=jsonl), seed=0, say=quiet)

    def test_one_example_cannot_be_divided(self, tmp_path):
        path = write(tmp_path / "one.jsonl", '{"text": "a", "label": 1}\n')
        with pytest.raises(DataError, match="--validation_file"):
            load_tables(arguments(train_file=path), seed=0, say=quiet)

    def test_a_hub_name_without_the_hub_says_what_works(self, monkeypatch):
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(DataError, match=r"python-docstrings.*--train_file"):
            load_tables(arguments(dataset_name="nobody/nothing-here"), seed=0, say=quiet)
