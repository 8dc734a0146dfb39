"""What models are compared with: the baselines on rows whose answers are known."""

from __future__ import annotations

from typing import Any

from benchmarks.hf_baselines import first_sentence, most_frequent, tfidf

WORDS = {"json": "decode the object", "email": "send the letter", "http": "ask the server"}


def rows(*packages: str) -> list[dict[str, Any]]:
    return [
        {"text": f"{WORDS[package]} {number}", "package": package} for number, package in enumerate(packages)
    ]


def test_the_most_frequent_package_is_that_of_the_split() -> None:
    assert most_frequent(rows("json", "json", "json", "http")) == {"accuracy": 0.75, "f1": (6 / 7 + 0) / 2}


def test_tfidf_learns_what_words_tell() -> None:
    said, found = tfidf(rows(*WORDS, *WORDS), rows(*WORDS), rows("email", "http"))
    assert found == {"accuracy": 1.0, "f1": 1.0}
    assert said.startswith("words, C = ")


def test_the_first_sentence_is_right_where_it_is_asked_for() -> None:
    context = "f(a=1)\n\nGo there. Come back."
    questions = [
        {"context": context, "answers": {"text": [answer], "answer_start": [context.index(answer)]}}
        for answer in ("Go there.", "1")
    ]
    assert first_sentence(questions) == {"exact_match": 50.0, "f1": 50.0}
