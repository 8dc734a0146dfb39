"""The configuration of a trial's model: that of a pretrained one, or a small one from scratch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from transformer_e2e.errors import ConfigError, nearest
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.heads import HEADS
from transformer_e2e.hf.not_loaded import not_loaded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

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
WORKS = "a folder written by save_pretrained, or a small model from scratch: --model_type=bert"


def read_config(arguments: Arguments) -> PreTrainedConfig:
    """The configuration that the arguments name. Raises ConfigError, one problem a line."""
    from transformers import AutoConfig

    model = arguments.model
    _raise_lines(_conflicts(arguments))
    flag = "model_name_or_path" if model.model_name_or_path else "config_name"
    name = model.model_name_or_path or model.config_name
    overrides = _overrides(model.config_overrides)
    if name is None:
        return _from_scratch(arguments, overrides)
    try:
        config = AutoConfig.from_pretrained(name, revision=model.model_revision)
    except Exception as error:  # the hub's, the network's, and whatever a damaged file raises
        raise ConfigError(not_loaded(flag, name, error, WORKS)) from error
    if model.model_type not in (None, config.model_type):
        raise ConfigError(f"--model_type={model.model_type}, but --{flag}={name} is a {config.model_type}")
    _raise_lines(HEADS[arguments.task].type_problems(config.model_type, f"--{flag}={name}"))
    return _changed(config, type(config), config.to_dict(), overrides) if overrides else config


def has_segments(arguments: Arguments) -> bool:
    """Whether the model tells two texts of one input apart by token_type_ids. Raises ConfigError."""
    config = read_config(arguments)
    return (getattr(config, "type_vocab_size", None) or 0) > 1


def _from_scratch(arguments: Arguments, overrides: dict[str, Any]) -> PreTrainedConfig:
    from transformers import CONFIG_MAPPING

    head = HEADS[arguments.task]
    name = arguments.model.model_type or head.usual
    if name not in CONFIG_MAPPING:
        raise ConfigError(f"--model_type={name} is not known to transformers{nearest(name, CONFIG_MAPPING)}")
    _raise_lines(head.type_problems(name, f"--model_type={name}"))
    made = CONFIG_MAPPING[name]
    default = made()
    small = {key: value for key, value in SMALL.items() if hasattr(default, key)}
    if "max_position_embeddings" in small:
        needed = arguments.data.length + late_positions(name)
        small["max_position_embeddings"] = max(SMALL["max_position_embeddings"], needed)
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
        raise ConfigError(f"--config_overrides: {one_line(error)}") from error
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


def late_positions(model_type: str) -> int:
    """Positions that such a model cannot use; 1 more than the padding id, which is 0 or 1."""
    return 2 if model_type in LATE_POSITIONS else 0


def one_line(error: Exception) -> str:
    told = f"it knows no {error}" if isinstance(error, KeyError) else str(error)
    return " ".join(told.split()) or type(error).__name__


def _raise_lines(problems: Iterable[str]) -> None:
    if problems := list(problems):
        raise ConfigError("\n".join(problems))
