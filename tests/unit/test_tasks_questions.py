"""What question answering stands on: rows, windows, spans, prompts, and what is written after them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from tests.hf_arguments import arguments
from transformer_e2e.data.questions import Question, read_questions
from transformer_e2e.data.schema import Schema
from transformer_e2e.errors import ConfigError, DataError
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.tasks.continuation import continue_prompts
from transformer_e2e.tasks.padding import pad
from transformer_e2e.tasks.prompts import ASK, IGNORED, PromptShape, make_prompts, write_prompt
from transformer_e2e.tasks.spans import best_in_windows, best_spans
from transformer_e2e.tasks.windows import Windows, make_windows, stride_problems

WORDS = ["the", "cat", "sat", "on", "a", "red", "mat", "while", "two", "small", "dogs", "ran"]


def pieces(seed: int, words: int) -> list[str]:
    """Words, and what stands between them: now a space, now a sign that touches both."""
    draw = random.Random(seed)
    return [draw.choice((WORDS, (" ", "=", "), "))[place % 2]) for place in range(2 * words - 1)]


def context(seed: int, words: int = 40) -> str:
    return "".join(pieces(seed, words))


def asked(seed: int, words: int = 40) -> Question:
    """A question whose answer is some words of its context."""
    parts, draw = pieces(seed, words), random.Random(seed)
    first = 2 * draw.randrange(words - 3)
    start = len("".join(parts[:first]))
    answer = "".join(parts[first : first + 2 * draw.randint(1, 3) - 1])
    return Question("what did the cat do?", "".join(parts), (answer,), (start,))


def texts() -> Iterator[str]:
    return itertools.chain((context(seed) for seed in range(30)), ["what did? Question: Context: Answer:"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def reader(cache: Path) -> PreTrainedTokenizerBase:
    """Word pieces, for spans."""
    given = arguments(task="extractive_qa", vocab_size=300, cache_dir=str(cache))
    return build_tokenizer(given, texts, lambda line: None)


@pytest.fixture(scope="module")
def writer(cache: Path) -> PreTrainedTokenizerBase:
    """Bytes, whose tokens begin with the space before a word, for prompts."""
    given = arguments(task="generative_qa", vocab_size=400, cache_dir=str(cache))
    return build_tokenizer(given, texts, lambda line: None)


FORMS: list[tuple[Any, tuple[str, ...], tuple[int, ...]]] = [
    ({"text": ["b", "a"], "answer_start": [2, 0]}, ("b", "a"), (2, 0)),
    ([{"text": "b", "answer_start": 2}], ("b",), (2,)),
    ({"text": ["b"]}, ("b",), (-1,)),
    (["b", "a"], ("b", "a"), (-1, -1)),
    ("b", ("b",), (-1,)),
    ({"text": [], "answer_start": []}, (), ()),
    ([" "], (), ()),
]


@pytest.mark.parametrize("given, answers, starts", FORMS)
def test_all_forms_of_answers_are_read(given: Any, answers: tuple[str, ...], starts: tuple[int, ...]) -> None:
    row = {"question": " why? ", "context": "a b", "answers": given}
    assert read_questions([row], "x", answered=True) == [Question("why?", "a b", answers, starts)]


def test_an_answer_without_a_place_gets_the_first() -> None:
    row = {"question": "q", "context": "a b b", "answers": ["b"]}
    (found,) = read_questions([row], "x", answered=True, spans=True)
    assert found.starts == (2,)


def test_every_kind_of_mistake_is_told_at_once() -> None:
    good = {"question": "q", "context": "a b", "answers": ["a"]}
    rows = [
        good,
        {**good, "context": ""},
        {"question": "q", "contxt": "a", "answers": ["a"]},
        {**good, "answers": {"text": ["b"], "answer_start": [0]}},
        {**good, "answers": 3},
        {"question": "q", "context": "a"},
    ]
    with pytest.raises(DataError) as caught:
        read_questions(rows, "train_file=a.json", answered=True, spans=True)
    message = str(caught.value)
    assert "train_file=a.json: 6 rows" in message
    for part in (
        "1 with an empty context (counted from 0: 1)",
        "did you mean contxt?",
        "answer that does not stand in the context where answer_start says (counted from 0: 3)",
        "answers of another form (counted from 0: 4)",
        "without answers; their columns are question, context (counted from 0: 5)",
    ):
        assert part in message


def test_rows_to_be_answered_need_no_answers() -> None:
    assert read_questions([{"question": "q", "context": "c"}], "x", answered=False)[0].answers == ()


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_labels_and_spans_are_inverse(kind: str, request: pytest.FixtureRequest) -> None:
    """In every window that holds the whole answer, and in one at least, its label gives the answer back."""
    tokenizer = request.getfixturevalue(kind)
    questions = [asked(seed, words=20 + 5 * seed) for seed in range(12)]
    windows = make_windows(questions, tokenizer, max_length=48, stride=16)
    answered = set()
    for number, row in enumerate(windows.inputs):
        owner = windows.owners[number]
        first, last = row["start_positions"], row["end_positions"]
        assert len(row["input_ids"]) == len(windows.offsets[number]) <= 48
        if (first, last) != (0, 0):
            begin = windows.offsets[number][first, 0]
            text = questions[owner].context[begin : windows.offsets[number][last, 1]]
            assert text.strip() == questions[owner].answers[0]
            answered.add(owner)
    assert answered == set(range(12)) == set(windows.owners)
    assert windows.owners == sorted(windows.owners) and len(windows.owners) > 20


def test_neighbours_share_the_stride_and_cover_the_context(reader: PreTrainedTokenizerBase) -> None:
    windows = make_windows([asked(1, words=100)], reader, max_length=40, stride=10)
    inside = [offsets[offsets[:, 0] >= 0] for offsets in windows.offsets]
    assert len(inside) > 3
    for before, after in itertools.pairwise(inside):
        assert before[-10:].tolist() == after[:10].tolist()
    assert inside[0][0, 0] == 0 and inside[-1][-1, 1] == len(context(1, 100))


def test_a_long_question_leaves_room_for_its_context(reader: PreTrainedTokenizerBase) -> None:
    question = Question(context(2, words=200), context(3), ("cat",), (0,))
    windows = make_windows([question], reader, max_length=32, stride=8)
    assert all((offsets[:, 0] >= 0).sum() > 8 for offsets in windows.offsets)
    assert not stride_problems(32, 8)
    assert "at most 11" in stride_problems(32, 12)[0]


def test_the_best_span_is_the_best_of_all() -> None:
    draw = np.random.default_rng(0)
    start, end = draw.normal(size=(2, 50, 12))
    allowed = draw.random((50, 12)) < 0.7
    best, first, last = best_in_windows(start, end, allowed, 4)
    for row in range(50):
        sums = {
            (a, b): start[row, a] + end[row, b]
            for a in range(12)
            for b in range(a, min(a + 4, 12))
            if allowed[row, a] and allowed[row, b]
        }
        assert (first[row], last[row]) == max(sums, key=lambda span: sums[span])
        assert best[row] == max(sums.values())


def test_the_best_window_answers_and_shares_make_one() -> None:
    start = np.array([[0.0, 1, 0], [0, 5, 0], [9, 0, 0]])
    allowed = np.array([[False, True, True]] * 3)
    spans = best_spans(start, np.zeros((3, 3)), allowed, [0, 0, 1], longest=2, may_be_null=True)
    assert [(span.window, span.first, span.last, span.null) for span in spans[:1]] == [(1, 1, 1, False)]
    mass = sum(np.exp(row).sum() * 3 for row in start[:2])
    assert spans[0].score == pytest.approx(np.exp(5) / mass)
    assert spans[1].null and spans[1].score == pytest.approx(np.exp(9) / (np.exp(start[2]).sum() * 3))
    assert Windows(None, [], []).characters(spans[1], "text") == (0, 0)  # type: ignore[arg-type]


def test_only_the_answer_and_its_end_have_labels(writer: PreTrainedTokenizerBase) -> None:
    question, shape = asked(4), PromptShape(200, 10)
    (row,) = make_prompts([question], writer, shape)
    prompt = writer.decode([i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label < 0])
    answer = [label for label in row["labels"] if label != IGNORED]
    assert prompt == f"Question: {question.question} Context: {question.context} Answer:"
    assert writer.decode(answer[:-1]) == f" {question.answers[0]}" and answer[-1] == writer.eos_token_id
    assert row["input_ids"][-len(answer) :] == answer
    assert write_prompt(question, writer, shape).ids == row["input_ids"][: -len(answer)]


def test_a_long_context_is_cut_and_the_request_for_an_answer_kept(writer: PreTrainedTokenizerBase) -> None:
    shape = PromptShape(64, 10)
    ids, truncated = write_prompt(asked(5, words=300), writer, shape)
    assert truncated and len(ids) == 64 - 11 and writer.decode(ids).endswith(ASK)
    assert not write_prompt(asked(5, words=8), writer, shape).truncated
    (row,) = make_prompts([Question("q", context(6, 300), (context(7),))], writer, shape)
    assert len(row["input_ids"]) == 63  # a long answer is cut, and then has no end
    assert row["labels"][-1] != writer.eos_token_id
    assert PromptShape(30, 10).problems() and not shape.problems()


def test_names_of_special_tokens_in_a_text_are_text(writer: PreTrainedTokenizerBase) -> None:
    ids = write_prompt(Question("<|endoftext|>?", "<|padding|>"), writer, PromptShape(200, 10)).ids
    assert not {writer.eos_token_id, writer.pad_token_id} & set(ids)


def test_padding_fills_the_side_that_is_asked_for() -> None:
    examples = [{"input_ids": [1, 2], "labels": [-100, 2], "n": 7}, {"input_ids": [3], "labels": [3], "n": 8}]
    right = pad(examples, {"input_ids": 0, "labels": -100}, length=3)
    assert right["input_ids"].tolist() == [[1, 2, 0], [3, 0, 0]]
    assert right["labels"].tolist() == [[-100, 2, -100], [3, -100, -100]]
    assert right["attention_mask"].tolist() == [[1, 1, 0], [1, 0, 0]]
    assert right["n"].tolist() == [7, 8]
    assert pad(examples, {"input_ids": 0}, left=True)["input_ids"].tolist() == [[1, 2], [0, 3]]


def small(kind: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("kind", ["gpt2", "bloom"])
def test_batches_write_what_each_prompt_alone_does(kind: str, writer: PreTrainedTokenizerBase) -> None:
    """Greedy, checked against a plain loop without padding, cache or batches; so is the probability."""
    model = small(kind, writer).train()
    prompts = [
        write_prompt(asked(seed, words=5 + 3 * seed), writer, PromptShape(120, 8)).ids for seed in range(5)
    ]
    schema = Schema(task="generative_qa", data_name="toy", max_length=120)
    pipeline = Pipeline(model=model, tokenizer=writer, schema=schema)
    found = continue_prompts(pipeline, prompts, longest=8, batch_size=2)
    assert model.training
    model.eval()
    for ids, (text, chance) in zip(prompts, found, strict=True):
        written: list[int] = []
        log = 0.0
        while len(written) < 8 and (not written or written[-1] != writer.eos_token_id):
            with torch.no_grad():
                scores = model(torch.tensor([[*ids, *written]])).logits[0, -1].log_softmax(-1)
            written.append(int(scores.argmax()))
            log += float(scores.max())
        assert text == writer.decode(written, skip_special_tokens=True).strip()
        assert chance == pytest.approx(np.exp(log), rel=1e-3)


def test_a_tokenizer_without_an_end_is_refused(reader: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match="end of text"):
        make_prompts([asked(8)], reader, PromptShape(200, 10))
