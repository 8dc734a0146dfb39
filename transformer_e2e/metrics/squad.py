"""Exact match and token F1 of answers, as SQuAD defines them.

Source: Rajpurkar et al. 2016 (arXiv:1606.05250), section 6, and for answers without a word Rajpurkar et al.
2018 (arXiv:1806.03822). Of answers that hold a word, both versions of the official script think alike.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII alone: a typographic quote is kept
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation, then without English articles, words one space apart."""
    # In this order: "a-b" is one word, and "A." an article.
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if the prediction is, normalised, one of the gold answers; else 0.0.

    Gold answers of which normalisation leaves nothing do not count beside others. Where none is left the
    question has no answer, and the right prediction is an empty one.
    """
    return float(normalize(prediction) in _normalized(golds))


def f1(prediction: str, golds: Sequence[str]) -> float:
    """The best F1, 0.0 to 1.0, of the prediction's words as a bag against each gold answer's."""
    return max(_f1(normalize(prediction).split(), gold.split()) for gold in _normalized(golds))


def score(predictions: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """{"exact_match", "f1"}: means over the questions in percent, 0 to 100.

    `golds` holds all gold answers of each prediction's question. Raises ValueError without a question, or if
    the two differ in length.
    """
    pairs = list(zip(predictions, golds, strict=True))
    if not pairs:
        raise ValueError("there is no question to score")
    return {
        "exact_match": 100 * sum(exact_match(*pair) for pair in pairs) / len(pairs),
        "f1": 100 * sum(f1(*pair) for pair in pairs) / len(pairs),
    }


def _normalized(golds: Sequence[str]) -> list[str]:
    return [text for text in map(normalize, golds) if text] or [""]


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    common = (Counter(predicted) & Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(gold)
    return 2 * precision * recall / (precision + recall)
