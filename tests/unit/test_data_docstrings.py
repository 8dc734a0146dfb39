"""Promises of the two data sets made of docstrings: nothing leaks between splits, and answers stand where
they are said to."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest

from transformer_e2e.data import docstring_qa, docstring_table
from transformer_e2e.data.docstring_qa import always_first_sentence, questions
from transformer_e2e.data.docstring_table import hide
from transformer_e2e.data.docstrings import SPLITS, Definition, _inside, definitions, hold_out
from transformer_e2e.data.sentences import first_sentence, sentences
from transformer_e2e.data.splitting import shared_runs, sharing
from transformer_e2e.errors import DataError
from transformer_e2e.metrics.squad import normalize

PAIRS = list(combinations(SPLITS, 2))


def table(split):
    return docstring_table.rows(split)


def qa(split):
    return docstring_qa.rows(split)


def all_of(rows):
    return {split: rows(split) for split in SPLITS}


def docstring_of(row):
    return row["context"].partition("\n\n")[2]


class TestNothingLeaks:
    @pytest.mark.parametrize(("one", "other"), PAIRS)
    def test_texts_share_no_run_of_words(self, one, other):
        texts, others = ([row["text"] for row in table(split)] for split in (one, other))
        assert shared_runs(texts, others) == set()
        assert not set(texts) & set(others)

    @pytest.mark.parametrize(("one", "other"), PAIRS)
    def test_contexts_share_no_run_of_words(self, one, other):
        texts, others = ([docstring_of(row) for row in qa(split)] for split in (one, other))
        assert shared_runs(texts, others) == set()
        assert not set(texts) & set(others)
        assert not {row["id"] for row in qa(one)} & {row["id"] for row in qa(other)}

    @pytest.mark.parametrize(("one", "other"), PAIRS)
    def test_modules_are_on_one_side(self, one, other):
        module = {f"{found.module}.{found.name}": found.module for found in definitions()}
        sides = [{module[row["title"]] for row in qa(split)} for split in (one, other)]
        assert not sides[0] & sides[1]

    @pytest.mark.parametrize(("one", "other"), PAIRS)
    def test_modules_of_the_table_are_on_one_side(self, one, other):
        packages = {row["package"] for rows in all_of(table).values() for row in rows}
        modules: dict[str, set[str]] = {}
        for found in definitions():
            if found.package in packages:
                modules.setdefault(hide(found.docstring, packages), set()).add(found.module)
        # A text that stands in several modules cannot say which one it was taken from.
        sides = [
            {next(iter(modules[row["text"]])) for row in table(split) if len(modules[row["text"]]) == 1}
            for split in (one, other)
        ]
        assert sides[0] and sides[1] and not sides[0] & sides[1]

    def test_no_text_names_a_package(self):
        packages = {row["package"] for row in table("train")}
        texts = " ".join(row["text"] for rows in all_of(table).values() for row in rows).lower()
        assert not [package for package in packages if package in texts]


class TestTable:
    def test_every_class_is_in_every_split_and_none_is_most(self):
        counts = {split: Counter(row["package"] for row in rows) for split, rows in all_of(table).items()}
        assert len(counts["train"]) >= 8
        assert counts["train"].keys() == counts["validation"].keys() == counts["test"].keys()
        for count in counts.values():
            assert max(count.values()) < count.total() / 3
        assert min(counts["train"].values()) >= 50

    def test_is_of_a_usable_size(self):
        assert len(table("train")) > 1500
        assert 0.1 < len(table("validation")) / len(table("train")) < 0.35
        assert 0.1 < len(table("test")) / len(table("train")) < 0.35

    def test_a_row_holds_a_text_and_its_package_and_no_text_comes_twice(self):
        assert all(row.keys() == {"text", "package"} for row in table("train"))
        texts = [row["text"] for rows in all_of(table).values() for row in rows]
        assert len(texts) == len(set(texts))


class TestQuestions:
    def test_each_answer_stands_at_its_place(self):
        for row in (row for rows in all_of(qa).values() for row in rows):
            answers = row["answers"]
            assert answers["text"] and len(answers["text"]) == len(answers["answer_start"])
            for text, start in zip(answers["text"], answers["answer_start"], strict=True):
                assert row["context"][start : start + len(text)] == text == text.strip() != ""

    def test_no_answer_is_normalised_to_nothing(self):
        answers = {text for rows in all_of(qa).values() for row in rows for text in row["answers"]["text"]}
        assert [text for text in answers if not normalize(text)] == []

    def test_ids_are_unique_and_no_question_is_asked_twice_of_a_context(self):
        rows = [row for rows in all_of(qa).values() for row in rows]
        assert len({row["id"] for row in rows}) == len(rows)
        assert len({(row["context"], row["question"]) for row in rows}) == len(rows)

    def test_answers_stand_at_all_places(self):
        share = [
            row["answers"]["answer_start"][0] / len(row["context"])
            for rows in all_of(qa).values()
            for row in rows
        ]
        for quarter in range(4):
            there = sum(quarter / 4 <= place < (quarter + 1) / 4 for place in share)
            assert there > 0.03 * len(share)

    def test_of_most_contexts_several_things_are_asked(self):
        """So the question must be read."""
        asked = Counter(row["context"] for row in qa("train"))
        assert sum(count > 1 for count in asked.values()) > 0.5 * len(asked)

    def test_the_first_sentence_is_right_for_about_a_third(self):
        for split in SPLITS:
            right = [always_first_sentence(row["context"]) in row["answers"]["text"] for row in qa(split)]
            assert 0.2 < sum(right) / len(right) < 0.4

    def test_every_kind_is_in_every_split(self):
        for split in SPLITS:
            kinds = Counter(question.kind for _, _, question in docstring_qa._splits()[split])
            assert set(kinds) == set(docstring_qa.KINDS)


def asked(source: str) -> list[tuple[str, str, list[str]]]:
    """(kind, question, answers) of the last definition of a source text."""
    *_, last = _inside(ast.parse(source), "module", ())
    return [(q.kind, q.text, [text for text, _ in q.answers]) for q in questions(last)]


def function(docstring: str, signature: str = "") -> str:
    return f"def f({signature}):\n    {docstring!r}\n"


class TestOneDefinition:
    def test_defaults_of_every_kind_of_parameter(self):
        found = asked(function("Do.", "a, b=None, /, c: int = 1 + 1, *rest, d='x, y', e, **more"))
        assert [answers for kind, _, answers in found if kind == "default"] == [["None"], ["1 + 1"]]
        assert asked(function("Do.", "*, d='x, y', e"))[0][2] == ["'x, y'"]

    def test_the_signature_is_that_of_help(self):
        source = "class C:\n  def m(self, a, b=(1, 2), *, key=None, **kw):\n    'Do.'"
        (one,) = _inside(ast.parse(source), "module", ())
        assert (one.name, one.signature) == ("C.m", "m(a, b=(1, 2), *, key=None, **kw)")
        assert [(d.parameter, d.value) for d in one.defaults] == [("b", "(1, 2)"), ("key", "None")]
        assert all(one.signature[d.start :].startswith(d.value) for d in one.defaults)

    def test_a_value_that_the_measure_drops_is_not_asked_for(self):
        """Punctuation and articles: {} and 'a' would be the same answer."""
        assert asked(function("Do.", "a='', b={}, c=(), d='a'")) == []

    @pytest.mark.parametrize(
        ("docstring", "question", "answers"),
        [
            ("Raise KeyError if x is absent.", "Which exception is raised if x is absent?", ["KeyError"]),
            (
                "Go.\n\nIf the file\nis gone, an OSError is raised.",
                "Which exception is raised if the file is gone?",
                ["OSError"],
            ),
            ("Go.\n\nRaises:\n  ValueError: if odd", "Which exception is raised if odd?", ["ValueError"]),
            ("Go, or raise queue.Full when full.", "Which exception is raised when full?", ["queue.Full"]),
        ],
    )
    def test_an_exception_with_its_condition(self, docstring, question, answers):
        assert ("raises", question, answers) in asked(function(docstring))

    def test_exceptions_without_condition_are_all_right_answers(self):
        found = asked(function("Go. Raises KeyError. It may raise a ValueError."))
        assert [answers for kind, _, answers in found if kind == "raises"] == [["KeyError", "ValueError"]]

    @pytest.mark.parametrize("docstring", ["It raises an error.", "Raise the window.", "Raises:"])
    def test_no_exception_is_named(self, docstring):
        assert not [kind for kind, _, _ in asked(function(docstring)) if kind == "raises"]

    @pytest.mark.parametrize(
        ("docstring", "answers"),
        [
            ("Return the name.", ["the name"]),
            ("Go.\n\nReturns the name, e.g. x; else None.", ["the name, e.g. x"]),
            ("Go.\n\nReturns:\n    A list.", ["A list"]),
            ("Return a. Return a list. Returns None if empty.", ["a list", "None if empty"]),
        ],
    )
    def test_what_is_returned(self, docstring, answers):
        assert [found for kind, _, found in asked(function(docstring)) if kind == "returns"] == [answers]

    def test_the_summary_is_asked_for_beside_another_question(self):
        kinds = [kind for kind, _, _ in asked(function("Go there.\n\nReturn the way."))]
        assert kinds == ["returns", "summary"]
        assert asked(function("Go there. Come back.")) == []
        assert [kind for kind, _, _ in asked(function("Return the way."))] == ["returns"]

    def test_nothing_is_imported_or_run(self):
        source = f"raise SystemExit\n{function('Do.', 'a=print(1)')}"
        assert asked(source)[0][2] == ["print(1)"]


class TestSplitting:
    def test_whole_modules_near_the_share(self):
        sizes = {f"m{number}": 10 + number % 7 for number in range(60)}
        places = hold_out(sizes)
        for split in ("validation", "test"):
            held = sum(size for module, size in sizes.items() if places[module] == split)
            assert 0.13 < held / sum(sizes.values()) <= 0.15

    def test_three_modules_are_one_for_each_split(self):
        assert sorted(hold_out({"a": 5, "b": 6, "c": 90}).values()) == sorted(SPLITS)
        assert hold_out({"a": 5, "b": 6, "c": 90})["c"] == "train"
        assert hold_out({"only": 5}) == {"only": "train"}

    def test_a_module_s_place_does_not_hang_on_the_order(self):
        sizes = {f"m{number}": number for number in range(1, 30)}
        assert hold_out(sizes) == hold_out(dict(reversed(sizes.items())))

    def test_texts_that_share_words_are_found(self):
        long = "one two three four five six seven eight nine"
        documents = [
            f"before {long}",
            "short text",
            "short text too",
            "eight words but none of these is in other",
        ]
        assert sharing(documents, [f"{long} after", "short text"]) == [True, True, False, False]

    @pytest.mark.parametrize("rows", [docstring_table.rows, docstring_qa.rows])
    def test_another_split_is_refused(self, rows):
        with pytest.raises(DataError, match=r"'dev'.*train, validation, test"):
            rows("dev")


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("One. Two! Three?", ["One.", "Two!", "Three?"]),
            ("See e.g. this one. And x.y too.", ["See e.g. this one.", "And x.y too."]),
            ("A line\ngoes on.\n\nNext", ["A line\ngoes on.", "Next"]),
            ("List:\n- one\n- two", ["List:", "- one", "- two"]),
            ("Go (there.) Back.", ["Go (there.)", "Back."]),
            ("  \n ", []),
        ],
    )
    def test_where_they_end(self, text, expected):
        assert [text[start:end] for start, end in sentences(text)] == expected
        assert first_sentence(text) == (expected or [""])[0]


def test_another_process_makes_the_same_rows():
    """Whatever the order of its sets and of its files' names."""
    code = (
        "from transformer_e2e.data import docstring_qa, docstring_table\n"
        "from transformer_e2e.data.snapshots import fingerprint\n"
        "print(fingerprint(str(m.rows(s)) for m in (docstring_table, docstring_qa)"
        " for s in ('train', 'validation', 'test')))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    made = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    from transformer_e2e.data.snapshots import fingerprint

    assert made.stdout.strip() == fingerprint(str(rows(split)) for rows in (table, qa) for split in SPLITS)


def test_a_definition_knows_its_package():
    assert Definition("json.decoder", "f", "f()", (), "Do.").package == "json"
