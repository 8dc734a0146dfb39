"""A trained model as it is used, back from the folder of a checkpoint or an artifact."""

from __future__ import annotations

from pathlib import Path

from transformer_e2e.config.hf_settings import TASKS
from transformer_e2e.data.schema import SCHEMA, Schema
from transformer_e2e.errors import CheckpointError
from transformer_e2e.hf.heads import HEADS
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.tokenizers import is_empty


def load_pipeline(directory: Path, device: str) -> Pipeline:
    """What `save_pretrained` and `Schema.save` wrote: the model in evaluation mode and fp32 on `device`.

    Weights are read from safetensors alone, no code comes from the folder, nothing is asked of the hub.
    Raises CheckpointError, also for weights that are missing: the library would draw them at random.
    """
    schema = Schema.load(directory)
    if schema.task not in TASKS:
        raise CheckpointError(f"{directory / SCHEMA} is of task {schema.task}; known are {', '.join(TASKS)}")
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        model, report = getattr(transformers, HEADS[schema.task].auto).from_pretrained(
            directory,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever a folder of another make, or of another version, leads to
        raise CheckpointError(
            f"{directory} cannot be loaded as a model of task {schema.task}: {error}"
        ) from error
    if is_empty(tokenizer):
        raise CheckpointError(f"{directory} holds no tokenizer (tokenizer.json)")
    wrong = sorted({*map(str, report["missing_keys"]), *map(str, report["mismatched_keys"])})
    if wrong:
        raise CheckpointError(
            f"{directory} lacks weights that a {type(model).__name__} needs: {', '.join(wrong[:5])}"
            + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        )
    return Pipeline(model=model.eval().to(device), tokenizer=tokenizer, schema=schema)
