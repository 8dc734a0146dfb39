"""The head that a task's model has, and which types of models can have it."""

from __future__ import annotations

from dataclasses import dataclass

KNOWN = ("bert", "distilbert", "roberta", "gpt2", "bloom", "llama")  # types that most people have heard of


@dataclass(frozen=True)
class Head:
    name: str  # in words
    auto: str  # the class of transformers that makes models with it
    table: str  # of the types that have it, in transformers' `modeling_auto`
    usual: str  # type, when none is named

    def type_problems(self, model_type: str, given: str) -> list[str]:
        """What is wrong with such a head on a model of a type; `given`: the flag that names the type.

        Encoders with a causal head are no answer: they would see the token that they are to predict.
        """
        from transformers.models.auto import modeling_auto

        able = set(getattr(modeling_auto, self.table))
        if self is CAUSAL:
            able -= set(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
        if model_type in able:
            return []
        likely = [
            name for name in ("bert", "distilbert", "roberta", "gpt2", "bloom", "llama") if name in able
        ]
        works = f"; {', '.join(likely)} and {len(able) - len(likely)} others can"
        return [f"{given}: a {model_type} model cannot be used for {self.name}{works}"]


MASKED = Head("masked", "AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES", "bert")
CAUSAL = Head("causal", "AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "gpt2")
SEQUENCE_CLASSIFICATION = Head(
    "sequence classification",
    "AutoModelForSequenceClassification",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "bert",
)
QUESTION_ANSWERING = Head(
    "question answering",
    "AutoModelForQuestionAnswering",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "bert",
)
HEADS = {
    "mlm": MASKED,
    "clm": CAUSAL,
    "classification": SEQUENCE_CLASSIFICATION,
    "extractive_qa": QUESTION_ANSWERING,
    "generative_qa": CAUSAL,
}
