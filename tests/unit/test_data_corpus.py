"""Promises of the corpora: documents wholly on one side, the same every time, errors that say what works."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data import hub_text, python_docs
from transformer_e2e.data.corpus import Corpus, build_corpus, find_source, load_corpus
from transformer_e2e.data.snapshots import open_or_build
from transformer_e2e.data.splitting import SHARED_RUN, shared_runs, split, unique, without_shared_text
from transformer_e2e.errors import DataError

STORIES = [f"Story {i}.\n\n" + " ".join(f"w{i}x{j}" for j in range(60)) + "\n" for i in range(60)]


@pytest.fixture(scope="module")
def python_corpus(data_cache: Path) -> Corpus:
    return load_corpus(DataSettings(), data_cache)


@pytest.fixture(scope="module")
def python_documents() -> tuple[str, ...]:
    """Read once more, beside the cache."""
    return tuple(python_docs.documents(python_docs.standard_library()))


def load(tmp_path: Path, dataset: object, **settings: object) -> Corpus:
    return load_corpus(DataSettings(dataset=str(dataset), **settings), tmp_path / "cache")  # type: ignore[arg-type]


class TestPythonDocs:
    def test_is_about_two_megabytes_of_english(self, python_corpus):
        size = sum(len(text.encode()) for text in python_corpus.train + python_corpus.validation)
        assert 1_000_000 < size < 4_000_000
        words = " ".join(python_corpus.train).lower().split()
        assert words.count("the") / len(words) > 0.03

    def test_no_validation_document_shares_a_run_of_words_with_training(self, python_corpus):
        assert shared_runs(python_corpus.train, python_corpus.validation) == set()
        assert not set(python_corpus.train) & set(python_corpus.validation)

    def test_the_rule_costs_little_of_the_training_text(self, python_corpus, python_documents):
        kept = sum(map(len, python_corpus.train + python_corpus.validation))
        assert 0.97 < kept / sum(map(len, python_documents)) <= 1

    def test_about_a_twentieth_is_held_out_in_whole_documents(self, python_corpus, python_documents):
        held = sum(map(len, python_corpus.validation))
        assert 0.04 < held / (held + sum(map(len, python_corpus.train))) < 0.06
        assert set(python_corpus.validation) <= set(python_documents)

    def test_is_the_same_when_it_is_made_again(self, python_corpus, python_documents):
        train, validation = split(unique(python_documents), 0.05)
        assert validation == python_corpus.validation
        assert without_shared_text(train, validation) == python_corpus.train

    def test_reads_no_installed_package_and_no_test_suite(self):
        parts = {part for path in python_docs.sources(python_docs.standard_library()) for part in path.parts}
        assert not parts & {"site-packages", "dist-packages", "test", "tests", "__pycache__"}
        assert {"json", "email", "argparse.py"} <= parts


class TestAnotherInterpreter:
    @pytest.fixture
    def library(self, tmp_path) -> Path:
        root = tmp_path / "lib"
        (root / "pkg" / "tests").mkdir(parents=True)
        (root / "a.py").write_text(
            '"""Module a."""\ndef f():\n    "Do f."\nclass C:\n    def m(self):\n        "Do f."\n'
        )
        (root / "broken.py").write_text("def (:")
        (root / "pkg" / "b.py").write_text('raise SystemExit("imported!")\n')
        (root / "pkg" / "c.py").write_text('"""Module c."""\nraise SystemExit("imported!")\n')
        (root / "pkg" / "tests" / "d.py").write_text('"""A test."""\n')
        return root

    def test_docstrings_come_in_source_order_once_and_without_import(self, library, caplog):
        assert list(python_docs.documents(library)) == ["Module a.\n\nDo f.", "Module c."]
        assert "docstrings alone" in caplog.text

    @pytest.mark.parametrize("topics", ["topics = make()", "other = {}", "x: int = 1"])
    def test_help_topics_of_another_form_are_done_without_and_said(self, library, caplog, topics):
        (library / "pydoc_data").mkdir()
        (library / "pydoc_data" / "topics.py").write_text(topics)
        assert len(list(python_docs.documents(library))) == 2
        assert "no help topics" in caplog.text

    def test_help_topics_come_first_by_name(self, library):
        (library / "pydoc_data").mkdir()
        (library / "pydoc_data" / "topics.py").write_text("topics = {'with': 'W', 'assert': 'A', 'n': 1}")
        assert list(python_docs.documents(library))[:2] == ["A", "W"]

    def test_half_a_surrogate_pair_in_a_docstring_does_no_harm(self, library):
        (library / "z.py").write_text('"Lone \\ud800 here."')
        assert list(python_docs.documents(library))[-1] == "Lone ? here."

    def test_a_changed_source_is_another_corpus(self, library):
        before = python_docs.sources_digest(library)
        (library / "a.py").write_text('"""Module A."""\n')
        assert python_docs.sources_digest(library) != before

    def test_no_sources_at_all_is_an_error_that_names_a_way_out(self, tmp_path):
        with pytest.raises(DataError, match=r"no Python sources .* --dataset=book\.txt"):
            python_docs.sources(tmp_path)


class TestSplitting:
    def test_depends_on_the_documents_and_not_on_their_order(self):
        train, validation = split(STORIES, 0.1)
        assert [set(side) for side in split(STORIES[::-1], 0.1)] == [set(train), set(validation)]
        assert sorted(train + validation) == sorted(STORIES)
        assert 4 <= len(validation) <= 6

    def test_an_added_document_moves_few_others(self):
        before, after = set(split(STORIES, 0.2)[1]), set(split([*STORIES, "One more story."], 0.2)[1])
        assert len(before ^ after) <= 3

    def test_one_document_is_cut_at_a_paragraph_and_loses_no_character(self):
        book = "\n\n".join(STORIES)
        (head,), (tail,) = split([book], 0.1)
        assert head + tail == book
        assert head.endswith("\n\n")
        assert 0.09 < len(tail) / len(book) < 0.2

    def test_a_few_large_documents_are_cut_as_well(self):
        texts = ["a b\n" * 1000, "c d\n" * 2000]
        train, validation = split(texts, 0.05)
        assert train[0] == texts[0]
        assert train[1] + validation[0] == texts[1]

    def test_a_document_given_twice_cannot_be_on_both_sides(self):
        assert unique([STORIES[0], "", " \n", STORIES[0], STORIES[1]]) == tuple(STORIES[:2])

    def test_a_paragraph_shared_in_another_line_width_is_taken_from_training(self):
        shared = "one two three four five six seven eight nine"
        train = [f"Before it.\n\n{shared.replace(' five', chr(10) + 'five')} and on\n\nAfter it."]
        assert without_shared_text(train, [f"Other.\n\n{shared}"]) == ("Before it.\n\nAfter it.",)

    def test_paragraphs_that_become_neighbours_are_looked_at_again(self):
        run = [f"n{i}" for i in range(SHARED_RUN)]
        held = ["p q r s t u v w", " ".join(run)]
        train = [" ".join(run[:4]) + "\n\np q r s t u v w\n\n" + " ".join(run[4:]) + "\n\nend"]
        assert without_shared_text(train, held) == ("end",)


class TestLocalText:
    def test_a_file_is_one_text_with_its_end_held_out(self, tmp_path):
        book = "\ufeff" + "\r\n".join(STORIES) + "é漢🦄"
        path = tmp_path / "book.txt"
        path.write_bytes(book.encode())
        corpus = load(tmp_path, path)
        assert corpus.train[0] + corpus.validation[0] == book[1:]

    def test_a_folder_of_txt_files_is_split_by_file(self, tmp_path):
        for i, story in enumerate(STORIES):
            file = tmp_path / "texts" / f"part{i % 3}" / f"{i}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(story)
        (tmp_path / "texts" / "README.md").write_text("not read")
        corpus = load(tmp_path, tmp_path / "texts", validation_fraction=0.2)
        assert sorted(corpus.train + corpus.validation) == sorted(STORIES)
        assert 10 <= len(corpus.validation) <= 12

    def test_a_changed_file_is_another_corpus_and_the_same_file_elsewhere_the_same(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("\n\n".join(STORIES))
        first = load(tmp_path, path)
        path.write_text("\n\n".join(STORIES[1:]))
        assert load(tmp_path, path).fingerprint != first.fingerprint
        path.write_text("\n\n".join(STORIES))
        assert load(tmp_path / "elsewhere", path) == first

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("latin.txt", b"caf\xe9 au lait", r"not UTF-8 text \(byte 3: 0xe9\).*iconv"),
            ("empty.txt", b"", "no training text"),
            ("blank.txt", b" \n\n ", "no training text"),
        ],
    )
    def test_a_file_that_is_no_text_is_refused(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            load(tmp_path, tmp_path / name)
        assert list((tmp_path / "cache").rglob("*.jsonl")) == []

    def test_a_folder_without_text_says_what_it_holds(self, tmp_path):
        (tmp_path / "texts").mkdir()
        (tmp_path / "texts" / "a.pdf").write_text("x")
        with pytest.raises(DataError, match=r"without \.txt files \(it holds a\.pdf\).*save_to_disk"):
            load(tmp_path, tmp_path / "texts")

    def test_a_missing_file_names_the_nearest(self, tmp_path):
        (tmp_path / "book.txt").write_text("x")
        with pytest.raises(DataError, match=r"no such file or folder; did you mean book\.txt\?"):
            load(tmp_path, tmp_path / "bok.txt")

    @pytest.mark.parametrize("name", ["", "  ", "python-doc", "a b", "a/b c"])
    def test_a_name_that_can_be_nothing_is_refused_at_once(self, tmp_path, name):
        with pytest.raises(DataError, match="--dataset"):
            load(tmp_path, name)


class TestSavedDataSets:
    def save(self, path: Path, **splits: list[str | None]) -> Path:
        import datasets

        tables = {name: datasets.Dataset.from_dict({"text": rows}) for name, rows in splits.items()}
        saved = datasets.DatasetDict(tables) if len(tables) > 1 else next(iter(tables.values()))
        saved.save_to_disk(str(path))
        return path

    def test_its_own_validation_split_is_used_and_nothing_of_it_is_trained_on(self, tmp_path):
        path = self.save(tmp_path / "d", train=STORIES[:50], validation=STORIES[48:55], test=STORIES[55:])
        corpus = load(tmp_path, path)
        assert corpus.train == tuple(STORIES[:48])
        assert corpus.validation == tuple(STORIES[48:55])

    def test_a_single_split_is_split_by_row(self, tmp_path):
        corpus = load(tmp_path, self.save(tmp_path / "d", train=[*STORIES, None, ""]))
        assert sorted(corpus.train + corpus.validation) == sorted(STORIES)

    def test_rows_that_are_lines_under_headings_become_articles(self, tmp_path):
        rows = [
            "",
            " = One = \n",
            "",
            " Text of one . \n",
            " = = Part = = \n",
            " x = y = z \n",
            " = Two = \n",
            " More \n",
        ]
        corpus = load(
            tmp_path, self.save(tmp_path / "d", train=rows, validation=[" = Three = \n", " Text . \n"])
        )
        assert corpus.train == (
            " = One = \n\n Text of one . \n = = Part = = \n x = y = z \n",
            " = Two = \n More \n",
        )
        assert corpus.validation == (" = Three = \n Text . \n",)

    def test_a_wrong_column_names_those_there_are(self, tmp_path):
        path = self.save(tmp_path / "d", train=STORIES)
        with pytest.raises(DataError, match=r"no column txt; it has text.*did you mean text\?"):
            load(tmp_path, path, text_column="txt")

    def test_a_column_of_numbers_is_refused(self, tmp_path):
        import datasets

        datasets.Dataset.from_dict({"text": [1, 2]}).save_to_disk(str(tmp_path / "d"))
        with pytest.raises(DataError, match="holds int, not text"):
            load(tmp_path, tmp_path / "d")

    def test_a_data_set_without_a_train_split_names_its_splits(self, tmp_path):
        path = self.save(tmp_path / "d", test=STORIES, validation=STORIES)
        with pytest.raises(DataError, match="no split named train; it has test, validation"):
            load(tmp_path, path)

    def test_a_damaged_folder_is_refused(self, tmp_path):
        path = self.save(tmp_path / "d", train=STORIES)
        for file in path.glob("*.arrow"):
            file.write_bytes(b"nonsense")
        with pytest.raises(DataError, match="cannot be read"):
            load(tmp_path, path)


class TestHub:
    @pytest.fixture
    def no_network(self, monkeypatch):
        import datasets
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def test_a_data_set_that_cannot_be_reached_says_what_works_instead(self, tmp_path, no_network):
        with pytest.raises(DataError) as caught:
            load(tmp_path, "Salesforce/wikitext", dataset_config="wikitext-2-raw-v1")
        for part in (
            "--dataset=Salesforce/wikitext --dataset_config=wikitext-2-raw-v1",
            "cannot be reached",
            "HF_HOME",
            "--dataset=python-docs",
            "save_to_disk",
        ):
            assert part in str(caught.value)
        assert not list((tmp_path / "cache").rglob("*.json*"))

    def test_a_data_set_that_was_loaded_once_opens_without_the_hub(self, tmp_path, no_network):
        settings = DataSettings(dataset="someone/stories", dataset_config="c")
        loaded = replace(find_source(settings), read=lambda: (tuple(STORIES[1:]), (STORIES[0],)))
        open_or_build(tmp_path / "corpora" / loaded.key, partial(build_corpus, loaded), what="the stories")
        assert load_corpus(settings, tmp_path).validation == (STORIES[0],)
        with pytest.raises(DataError):
            load_corpus(replace(settings, dataset_revision="v2"), tmp_path)

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (RuntimeError("401 Client Error: gated"), "hf auth login"),
            (ValueError("BuilderConfig 'x' not found. Available: ['y']"), "Available: ['y']"),
        ],
    )
    def test_what_the_library_says_reaches_the_user(self, error, says):
        assert says in hub_text.refusal("--dataset=a/b", error, "a file")


class TestCache:
    def test_a_damaged_corpus_is_built_again_and_that_is_said(self, tmp_path, caplog):
        (tmp_path / "a.txt").write_text("\n\n".join(STORIES))
        first = load(tmp_path, tmp_path / "a.txt")
        (damaged,) = (tmp_path / "cache" / "corpora").rglob("train.jsonl")
        damaged.write_text(json.dumps("other text"))
        with caplog.at_level(logging.WARNING):
            assert load(tmp_path, tmp_path / "a.txt") == first
        assert "is damaged (train.jsonl)" in caplog.text

    def test_it_is_not_built_twice(self, tmp_path, caplog):
        (tmp_path / "a.txt").write_text("\n\n".join(STORIES))
        with caplog.at_level(logging.INFO):
            load(tmp_path, tmp_path / "a.txt")
            load(tmp_path, tmp_path / "a.txt")
        assert caplog.text.count("building the corpus") == 1

    def test_a_cache_that_cannot_be_written_is_an_error_that_says_so(self, tmp_path):
        (tmp_path / "a.txt").write_text("\n\n".join(STORIES))
        (tmp_path / "cache").write_text("a file where the folder should be")
        with pytest.raises(DataError, match=r"cannot write .*--cache_dir"):
            load(tmp_path, tmp_path / "a.txt")

    def test_what_a_killed_builder_left_behind_is_cleared(self, tmp_path):
        (tmp_path / "a.txt").write_text("\n\n".join(STORIES))
        first = load(tmp_path, tmp_path / "a.txt")
        (built,) = (path for path in (tmp_path / "cache" / "corpora").iterdir() if path.is_dir())
        shutil.move(built, built.with_name(f".staging-{built.name}"))
        assert load(tmp_path, tmp_path / "a.txt") == first
        assert [path for path in built.parent.iterdir() if path.is_dir()] == [built]
