"""The model of a trial: pretrained by name, or from a configuration alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from transformer_e2e.config.hf_settings import length_setting
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.heads import HEADS, SEQUENCE_CLASSIFICATION, Head
from transformer_e2e.hf.model_config import WORKS, late_positions, one_line, read_config
from transformer_e2e.hf.not_loaded import not_loaded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def model_problems(arguments: Arguments) -> list[str]:
    """What is wrong with the model that the arguments name; empty if `build_model` will find it usable.

    Reads the configuration (of a hub model: fetches it), makes no weights.
    """
    try:
        config = read_config(arguments)
    except ConfigError as error:
        return str(error).splitlines()
    problems = _length_problems(arguments, config)
    if not problems and arguments.model.model_name_or_path is None:
        problems = _start_problems(config) or _shape_problems(config, HEADS[arguments.task])
    return problems


def build_model(arguments: Arguments, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> PreTrainedModel:
    """The model on the CPU in fp32: pretrained, or with weights drawn from torch's generator.

    `changes` go into its configuration: num_labels, id2label, problem_type ... A pretrained model whose head
    has another shape gets a new head; its embeddings grow if the tokenizer has more ids. Raises ConfigError.
    """
    import torch
    import transformers

    head = HEADS[arguments.task]
    auto = getattr(transformers, head.auto)
    model: PreTrainedModel
    if (name := arguments.model.model_name_or_path) is not None:
        try:
            model = auto.from_pretrained(
                name,
                revision=arguments.model.model_revision,
                dtype=torch.float32,
                ignore_mismatched_sizes=head is SEQUENCE_CLASSIFICATION,
                **changes,
            )
        except Exception as error:  # the hub's, the network's, and whatever a damaged file raises
            raise ConfigError(not_loaded("model_name_or_path", name, error, WORKS)) from error
        if len(tokenizer) > cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings:
            model.resize_token_embeddings(len(tokenizer))
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id
        return model
    config = read_config(arguments)
    config.vocab_size = len(tokenizer)
    for special in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, special, getattr(tokenizer, special))
    for attribute, value in changes.items():
        setattr(config, attribute, value)
    return auto.from_config(config, dtype=torch.float32)


def _length_problems(arguments: Arguments, config: PreTrainedConfig) -> list[str]:
    name, length = length_setting(arguments.task), arguments.data.length
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or most <= 0 or length <= most - late_positions(config.model_type):
        return []
    works = f"the largest that works is {most - late_positions(config.model_type)}"
    return [f"--{name}={length} is more than the {most} positions of this {config.model_type}; {works}"]


def _start_problems(config: PreTrainedConfig) -> list[str]:
    """An encoder-decoder from scratch would lack the tokens that its decoder begins with and ends at."""
    if not config.is_encoder_decoder:
        return []
    return [
        f"a {config.model_type} model is an encoder-decoder, which only works pretrained here "
        "(--model_name_or_path); from scratch bert, distilbert, roberta and gpt2 work, for example"
    ]


def _shape_problems(config: PreTrainedConfig, head: Head) -> list[str]:
    """Whatever the architecture itself says of a configuration; weights are not allocated."""
    import torch
    import transformers

    try:
        with torch.device("meta"):
            getattr(transformers, head.auto).from_config(config)
    except Exception as error:  # each architecture has rules and errors of its own
        return [f"a {config.model_type} model cannot be made so: {one_line(error)}"]
    return []
