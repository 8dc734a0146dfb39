"""The model of a trial: pretrained by name, or from a configuration alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from transformer_e2e.errors import ConfigError, nearest
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.names import not_loaded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# What a model of each kind is made by, the table of the types that have it, and the type when none is named.
KINDS = {
    "masked": ("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES", "bert"),
    "causal": ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "gpt2"),
    "sequence_classification": (
        "AutoModelForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        "bert",
    ),
    "question_answering": (
        "AutoModelForQuestionAnswering",
        "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
        "bert",
    ),
}
KIND_OF_TASK = {
    "mlm": "masked",
    "clm": "causal",
    "classification": "sequence_classification",
    "extractive_qa": "question_answering",
    "generative_qa": "causal",
}
BLOCK_TASKS = ("mlm", "clm")
# A model from scratch without other words: BERT-tiny (Turc et al. 2019), which a CPU trains in minutes.
SMALL = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 512,
}
# Positions of these begin after the id of the padding token, so that many fewer can be used.
LATE_POSITIONS = {
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}


def model_problems(arguments: Arguments, kind: str) -> list[str]:
    """What is wrong with the model that the arguments name; empty if `build_model` will find it usable.

    Reads the configuration (of a hub model: fetches it), makes no weights. `kind` is a key of KINDS.
    """
    try:
        config = _config(arguments, kind)
    except ConfigError as error:
        return str(error).splitlines()
    problems = _length_problems(arguments, config)
    if not problems and arguments.model.model_name_or_path is None:
        problems = _start_problems(config) or _shape_problems(config, kind)
    return problems


def build_model(
    arguments: Arguments, kind: str, tokenizer: PreTrainedTokenizerBase, **changes: Any
) -> PreTrainedModel:
    """The model on the CPU in fp32: pretrained, or with weights drawn from torch's generator.

    `changes` go into its configuration: num_labels, id2label, problem_type ... A pretrained model whose head
    has another shape gets a new head; its embeddings grow if the tokenizer has more ids. Raises ConfigError.
    """
    import torch
    import transformers

    auto = getattr(transformers, KINDS[kind][0])
    model: PreTrainedModel
    if (name := arguments.model.model_name_or_path) is not None:
        try:
            model = auto.from_pretrained(
                name,
                revision=arguments.model.model_revision,
                dtype=torch.float32,
                ignore_mismatched_sizes=kind == "sequence_classification",
                **changes,
            )
        except Exception as error:  # the hub's, the network's, and whatever a damaged file raises
            raise ConfigError(not_loaded("model_name_or_path", name, error, _WORKS)) from error
        if len(tokenizer) > cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings:
            model.resize_token_embeddings(len(tokenizer))
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id
        return model
    config = _config(arguments, kind)
    config.vocab_size = len(tokenizer)
    for special in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, special, getattr(tokenizer, special))
    for attribute, value in changes.items():
        setattr(config, attribute, value)
    return auto.from_config(config, dtype=torch.float32)


def has_segments(arguments: Arguments) -> bool:
    """Whether the model tells two texts of one input apart by token_type_ids. Raises ConfigError."""
    config = _config(arguments, KIND_OF_TASK[arguments.task])
    return (getattr(config, "type_vocab_size", None) or 0) > 1


_WORKS = "a folder written by save_pretrained, or a small model from scratch: --model_type=bert"


def _config(arguments: Arguments, kind: str) -> PreTrainedConfig:
    """The configuration that the arguments name. Raises ConfigError, one problem a line."""
    from transformers import AutoConfig

    model = arguments.model
    _raise_lines(_conflicts(arguments))
    flag = "model_name_or_path" if model.model_name_or_path else "config_name"
    name = model.model_name_or_path or model.config_name
    overrides = _overrides(model.config_overrides)
    if name is None:
        return _from_scratch(arguments, kind, overrides)
    try:
        config = AutoConfig.from_pretrained(name, revision=model.model_revision)
    except Exception as error:  # the hub's, the network's, and whatever a damaged file raises
        raise ConfigError(not_loaded(flag, name, error, _WORKS)) from error
    if model.model_type not in (None, config.model_type):
        raise ConfigError(f"--model_type={model.model_type}, but --{flag}={name} is a {config.model_type}")
    _raise_lines(_type_problems(config.model_type, kind, f"--{flag}={name}"))
    return _changed(config, type(config), config.to_dict(), overrides) if overrides else config


def _from_scratch(arguments: Arguments, kind: str, overrides: dict[str, Any]) -> PreTrainedConfig:
    from transformers import CONFIG_MAPPING

    given = arguments.model.model_type
    name = given or KINDS[kind][2]
    if name not in CONFIG_MAPPING:
        raise ConfigError(f"--model_type={name} is not known to transformers{nearest(name, CONFIG_MAPPING)}")
    _raise_lines(_type_problems(name, kind, f"--model_type={name}"))
    made = CONFIG_MAPPING[name]
    default = made()
    small = {key: value for key, value in SMALL.items() if hasattr(default, key)}
    if "max_position_embeddings" in small:
        small["max_position_embeddings"] = max(
            SMALL["max_position_embeddings"], _length(arguments)[1] + _late(name)
        )
    return _changed(default, made, small, overrides)


def _changed(known: Any, made: Any, base: dict[str, Any], overrides: dict[str, Any]) -> PreTrainedConfig:
    """A configuration of class `made` from `base` and `overrides`, whose names `known` must have."""
    names = sorted(set(known.to_dict()) | set(known.attribute_map))
    problems = [
        f"--config_overrides: a {known.model_type} configuration has no {name}{nearest(name, names)}"
        for name in overrides
        if not hasattr(known, name)
    ]
    if "vocab_size" in overrides:
        problems.append("--config_overrides: vocab_size is the tokenizer's; give --vocab_size")
    _raise_lines(problems)
    canonical = {known.attribute_map.get(name, name): value for name, value in base.items()}
    canonical.update({known.attribute_map.get(name, name): value for name, value in overrides.items()})
    try:
        config: PreTrainedConfig = made(**canonical)
    except Exception as error:  # each configuration has rules and errors of its own
        raise ConfigError(f"--config_overrides: {_one_line(error)}") from error
    return config


def _overrides(text: str | None) -> dict[str, Any]:
    """`hidden_size=128,hidden_act=relu`, or a JSON object, as a dictionary. Raises ConfigError."""
    if text is None or not text.strip():
        return {}
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise ConfigError(f"--config_overrides={text} is no JSON object: {error}") from error
    parts = [part.partition("=") for part in text.split(",")]
    wrong = [name for name, equals, _ in parts if not equals or not name.strip()]
    if wrong:
        raise ConfigError(
            f"--config_overrides={text}: {wrong[0]!r} is not name=value; "
            "hidden_size=128,num_hidden_layers=2 works"
        )
    return {name.strip(): _value(value.strip()) for name, _, value in parts}


def _value(text: str) -> Any:
    """A number, true, false or null as JSON and Python write them; else the text itself."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _conflicts(arguments: Arguments) -> list[str]:
    model = arguments.model
    if model.model_name_or_path is None:
        return []
    return [
        f"--{name}={getattr(model, name)} and --model_name_or_path={model.model_name_or_path} exclude each "
        "other: a pretrained model has its configuration"
        for name in ("config_name", "config_overrides")
        if getattr(model, name)
    ]


def _type_problems(model_type: str, kind: str, given: str) -> list[str]:
    """Encoders with a causal head are no answer: they would see the token that they are to predict."""
    from transformers.models.auto import modeling_auto

    able = set(getattr(modeling_auto, KINDS[kind][1]))
    if kind == "causal":
        able -= set(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    if model_type in able:
        return []
    likely = [name for name in ("bert", "distilbert", "roberta", "gpt2", "bloom", "llama") if name in able]
    works = f"; {', '.join(likely)} and {len(able) - len(likely)} others can"
    return [f"{given}: a {model_type} model cannot be used for {kind.replace('_', ' ')}{works}"]


def _length(arguments: Arguments) -> tuple[str, int]:
    name = "block_size" if arguments.task in BLOCK_TASKS else "max_seq_length"
    return name, getattr(arguments.data, name)


def _late(model_type: str) -> int:
    """Positions that such a model cannot use; 1 more than the padding id, which is 0 or 1."""
    return 2 if model_type in LATE_POSITIONS else 0


def _length_problems(arguments: Arguments, config: PreTrainedConfig) -> list[str]:
    name, length = _length(arguments)
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or most <= 0 or length <= most - _late(config.model_type):
        return []
    works = f"the largest that works is {most - _late(config.model_type)}"
    return [f"--{name}={length} is more than the {most} positions of this {config.model_type}; {works}"]


def _start_problems(config: PreTrainedConfig) -> list[str]:
    """An encoder-decoder from scratch would lack the tokens that its decoder begins with and ends at."""
    if not config.is_encoder_decoder:
        return []
    return [
        f"a {config.model_type} model is an encoder-decoder, which only works pretrained here "
        "(--model_name_or_path); from scratch bert, distilbert, roberta and gpt2 work, for example"
    ]


def _shape_problems(config: PreTrainedConfig, kind: str) -> list[str]:
    """Whatever the architecture itself says of a configuration; weights are not allocated."""
    import torch
    import transformers

    try:
        with torch.device("meta"):
            getattr(transformers, KINDS[kind][0]).from_config(config)
    except Exception as error:  # each architecture has rules and errors of its own
        return [f"a {config.model_type} model cannot be made so: {_one_line(error)}"]
    return []


def _one_line(error: Exception) -> str:
    told = f"it knows no {error}" if isinstance(error, KeyError) else str(error)
    return " ".join(told.split()) or type(error).__name__


def _raise_lines(problems: Iterable[str]) -> None:
    if problems := list(problems):
        raise ConfigError("\n".join(problems))
