"""Exact match and F1 on cases worked out by hand from the official definitions.

Each case says what it is about. The expected numbers were also what version 2.0 of the official script gave.
"""

from __future__ import annotations

import pytest

from transformer_e2e.metrics.squad import exact_match, f1, normalize, score

# what it is about, prediction, gold answers, exact match, F1 as 2 * common / (predicted + gold)
CASES: list[tuple[str, str, list[str], float, float]] = [
    ("equal", "Denver Broncos", ["Denver Broncos"], 1, 1),
    ("case does not count", "DENVER broncos", ["Denver Broncos"], 1, 1),
    ("nothing in common", "Carolina", ["Denver Broncos"], 0, 0),
    ("half of the answer", "Denver", ["Denver Broncos"], 0, 2 * 1 / (1 + 2)),
    ("twice as long", "the Denver Broncos of Colorado today", ["Denver Broncos"], 0, 2 * 2 / (5 + 2)),
    ("another order", "Broncos Denver", ["Denver Broncos"], 0, 1),
    ("article in front", "The Broncos", ["Broncos"], 1, 1),
    ("articles of both", "an apple", ["the apple"], 1, 1),
    ("article inside", "apple in a tree", ["apple in the tree"], 1, 1),
    ("an article is a whole word", "theory", ["ory"], 0, 0),
    ("words that only begin like one", "another ant", ["other nt"], 0, 0),
    ("an article after punctuation is gone", "(the) end", ["end"], 1, 1),
    ("a letter with a full stop is an article", "Vitamin A.", ["vitamin"], 1, 1),
    ("dots leave letters of one word", "U.S.A.", ["usa"], 1, 1),
    ("full stop at the end", "in 1999.", ["in 1999"], 1, 1),
    ("quotes and brackets", "\"Star Wars\" [1977]", ["Star Wars 1977"], 1, 1),
    ("a hyphen joins", "well-known", ["wellknown"], 1, 1),
    ("a hyphen does not part", "well-known", ["well known"], 0, 0),
    ("an apostrophe goes, the s stays", "Newton's laws", ["newtons laws"], 1, 1),
    ("money and signs", "$1,000", ["1000"], 1, 1),
    ("an underscore is punctuation", "max_len", ["maxlen"], 1, 1),
    ("white space of all kinds", " two\t\n words\u00a0here ", ["two words here"], 1, 1),
    ("a word counts as often as both have it", "no no no", ["no no"], 0, 2 * 2 / (3 + 2)),
    ("accents stay", "Café", ["cafe"], 0, 0),
    ("case beyond ASCII", "ÉCOLE ΑΘΗΝΑ", ["école αθηνα"], 1, 1),
    ("an accent written in two ways stays different", "e\u0301cole", ["\u00e9cole"], 0, 0),
    ("typographic quotes are no punctuation here", "\u201cyes\u201d", ["yes"], 0, 0),
    ("an en dash stays a word", "1990 \u2013 1995", ["1990 1995"], 0, 2 * 2 / (3 + 2)),
    ("no words between Chinese signs", "北京大学", ["北京 大学"], 0, 0),
    ("empty prediction", "", ["Denver"], 0, 0),
    ("prediction of articles alone", "the", ["Denver"], 0, 0),
    ("no answer, none given", "", [], 1, 1),
    ("no answer, but one given", "Denver", [], 0, 0),
    ("the empty gold answer", "", [""], 1, 1),
    ("both normalise to nothing", "a", ["the!"], 1, 1),
    ("an empty gold beside a real one is none", "", ["", "Denver"], 0, 0),
    ("the best of several", "Denver", ["Carolina", "Denver Broncos", "denver"], 1, 1),
    ("F1 may come from another one", "blue sky", ["blue", "blue sky today"], 0, 2 * 2 / (2 + 3)),
    ("several, none right", "red", ["blue", "green"], 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("prediction", "golds", "exact", "overlap"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_case_made_by_hand(prediction, golds, exact, overlap):
    assert exact_match(prediction, golds) == exact
    assert f1(prediction, golds) == pytest.approx(overlap, abs=1e-12)


def test_normalisation_keeps_words_one_space_apart():
    assert normalize("  The  quick, brown\nFOX! jumps over an a-b ") == "quick brown fox jumps over ab"


def test_a_score_is_the_mean_in_percent():
    assert score(["a cat", "red", ""], [["cat"], ["red wine", "rose"], []]) == {
        "exact_match": pytest.approx(100 * 2 / 3),
        "f1": pytest.approx(100 * (1 + 2 / 3 + 1) / 3),
    }


def test_all_right_is_exactly_a_hundred():
    answers = ["one", "two words", "three"] * 7
    assert score(answers, [[answer] for answer in answers]) == {"exact_match": 100.0, "f1": 100.0}


@pytest.mark.parametrize(("predictions", "golds"), [([], []), (["x"], []), (["x"], [["x"], ["y"]])])
def test_what_cannot_be_scored_is_refused(predictions, golds):
    with pytest.raises(ValueError):
        score(predictions, golds)
