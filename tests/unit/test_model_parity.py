"""The decoder against independent implementations: Llama, and with normalised queries and keys Qwen3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.shape import ModelShape

SHAPE = ModelShape(
    vocab_size=97, context_window=48, num_layers=3, num_heads=4, model_dim=64, mlp_dim=160, rope_theta=5_000.0
)


def sizes_of(shape: ModelShape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.model_dim,
        "intermediate_size": shape.mlp_dim,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_heads,
        "max_position_embeddings": shape.context_window,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
    }


def llama_of(shape: ModelShape) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**sizes_of(shape)))


def qwen3_of(shape: ModelShape) -> torch.nn.Module:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(head_dim=shape.head_dim, **sizes_of(shape)))


def weights_of(model: Decoder) -> dict[str, torch.Tensor]:
    """Under the names that Llama and Qwen3 give them."""
    theirs = {
        "model.embed_tokens.weight": model.embedding.weight,
        "lm_head.weight": model.embedding.weight,
        "model.norm.weight": model.final_norm.weight,
    }
    for index, block in enumerate(model.blocks):
        q, k, v = block.attention.qkv.weight.chunk(3)
        gate, up = block.mlp.gate_up.weight.chunk(2)
        theirs |= {
            f"model.layers.{index}.{name}.weight": weight
            for name, weight in {
                "self_attn.q_proj": q,
                "self_attn.k_proj": k,
                "self_attn.v_proj": v,
                "self_attn.o_proj": block.attention.out.weight,
                "mlp.gate_proj": gate,
                "mlp.up_proj": up,
                "mlp.down_proj": block.mlp.down.weight,
                "input_layernorm": block.attention_norm.weight,
                "post_attention_layernorm": block.mlp_norm.weight,
            }.items()
        }
        if norm := block.attention.qk_norm:
            theirs[f"model.layers.{index}.self_attn.q_norm.weight"] = norm.query_gain
            theirs[f"model.layers.{index}.self_attn.k_norm.weight"] = norm.key_gain
    return theirs


def trained_size(shape: ModelShape) -> Decoder:
    """A model with norm gains other than 1, and logits of a trained model's size."""
    torch.manual_seed(0)
    model = Decoder(shape).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model


@torch.no_grad()
@pytest.mark.parametrize("qk_norm,theirs_of", [(False, llama_of), (True, qwen3_of)])
def test_logits_equal_those_of_another_implementation_with_the_same_weights(qk_norm, theirs_of):
    shape = replace(SHAPE, qk_norm=qk_norm)
    model, theirs = trained_size(shape), theirs_of(shape).eval()
    theirs.load_state_dict(weights_of(model))
    ids_BT = torch.randint(SHAPE.vocab_size, (3, SHAPE.context_window))
    ours_BTV, theirs_BTV = model(ids_BT), theirs(ids_BT).logits
    assert ours_BTV.std() > 0.5
    torch.testing.assert_close(ours_BTV, theirs_BTV, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_normalised_keys_come_out_of_the_cache_as_they_went_in():
    model = trained_size(replace(SHAPE, qk_norm=True))
    ids_BT = torch.randint(SHAPE.vocab_size, (2, 16))
    cache = KeyValueCache(model.shape, batch_size=2)
    pieces = [model(ids_BT[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, 13), (13, 16))]
    torch.testing.assert_close(torch.cat(pieces, 1), model(ids_BT), rtol=1e-5, atol=1e-5)
