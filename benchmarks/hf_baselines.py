"""What a model has to beat on the two data sets that are made of docstrings.

python-docstrings: always the most frequent package, and logistic regression on TF-IDF, whose
features and regularisation are chosen by accuracy on the validation split. python-docs-qa: always
the docstring's first sentence. The most frequent package is that of the split itself, which is
more than anybody can know.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_e2e.data import docstring_qa, docstring_table
from transformer_e2e.data.docstrings import SPLITS
from transformer_e2e.metrics.classification import classification
from transformer_e2e.metrics.squad import score

WORDS = {"analyzer": "word", "ngram_range": (1, 1)}
WORD_PAIRS = {"analyzer": "word", "ngram_range": (1, 2)}
LETTERS = {"analyzer": "char_wb", "ngram_range": (2, 5)}
FEATURES = {"words": [WORDS], "word pairs": [WORD_PAIRS], "words and letters": [WORDS, LETTERS]}
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # inverse regularisation C
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.hf_baselines --split test",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", choices=SPLITS[1:], default="test", help="what is measured on")
    options = parser.parse_args()
    table = {split: docstring_table.rows(split) for split in SPLITS}
    print(f"{docstring_table.NAME}: {len(table['train']):,} training texts, ", end="")
    print(f"{len(table[options.split]):,} of the {options.split} split")
    _say("most frequent package", most_frequent(table[options.split]))
    started = time.perf_counter()
    words, found = tfidf(table["train"], table["validation"], table[options.split])
    _say(f"TF-IDF + logistic regression ({words})", found)
    print(f"  chosen and fitted in {time.perf_counter() - started:.0f} s")
    questions = docstring_qa.rows(options.split)
    print(f"{docstring_qa.NAME}: {len(questions):,} questions of the {options.split} split")
    _say("always the first sentence", first_sentence(questions))


def most_frequent(rows: Sequence[Row]) -> dict[str, float]:
    """{"accuracy", "f1"} of one answer for all: the split's own most frequent package."""
    names = sorted({row["package"] for row in rows})
    labels = _numbers(rows, names)
    best = np.bincount(labels).argmax()
    return classification(np.full_like(labels, best), labels, len(names))


def tfidf(
    train: Sequence[Row], validation: Sequence[Row], held_out: Sequence[Row]
) -> tuple[str, dict[str, float]]:
    """What was chosen by accuracy on `validation`, and {"accuracy", "f1"} on `held_out`."""
    from sklearn.linear_model import LogisticRegression

    names = sorted(Counter(row["package"] for row in train))
    texts, labels = [row["text"] for row in train], _numbers(train, names)
    best: tuple[float, str, Any, Any] | None = None
    for kind, parts in FEATURES.items():
        features = _features(parts).fit(texts)
        inputs, asked = features.transform(texts), features.transform([row["text"] for row in validation])
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000).fit(inputs, labels)
            right = float(np.mean(model.predict(asked) == _numbers(validation, names)))
            if best is None or right > best[0]:
                best = right, f"{kind}, C = {strength:g}", features, model
    assert best is not None
    _, words, features, model = best
    predicted = model.predict(features.transform([row["text"] for row in held_out]))
    return words, classification(predicted, _numbers(held_out, names), len(names))


def first_sentence(questions: Sequence[Row]) -> dict[str, float]:
    """{"exact_match", "f1"} in percent."""
    answers = [docstring_qa.always_first_sentence(row["context"]) for row in questions]
    return score(answers, [row["answers"]["text"] for row in questions])


def _features(parts: Sequence[dict[str, Any]]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    return make_union(*(TfidfVectorizer(sublinear_tf=True, **part) for part in parts))


def _numbers(rows: Sequence[Row], names: Sequence[str]) -> np.ndarray:
    return np.array([names.index(row["package"]) for row in rows])


def _say(name: str, found: dict[str, float]) -> None:
    print(f"  {name:58}" + "".join(f"  {measure} {value:.4g}" for measure, value in found.items()))


if __name__ == "__main__":
    main()
