"""The decoder against an independent implementation of the same architecture."""

from __future__ import annotations

import torch

from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.shape import ModelShape

SHAPE = ModelShape(
    vocab_size=97, context_window=48, num_layers=3, num_heads=4, model_dim=64, mlp_dim=160, rope_theta=5_000.0
)


def llama_with_the_weights_of(model: Decoder) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = model.shape
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.model_dim,
            intermediate_size=shape.mlp_dim,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_heads,
            max_position_embeddings=shape.context_window,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        )
    )
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
    llama.load_state_dict(theirs)
    return llama.eval()


@torch.no_grad()
def test_logits_equal_those_of_llama_with_the_same_weights():
    torch.manual_seed(0)
    model = Decoder(SHAPE).eval()
    for parameter in model.parameters():  # norm gains other than 1, logits of a trained model's size
        parameter.add_(torch.randn_like(parameter) * 0.1)
    ids_BT = torch.randint(SHAPE.vocab_size, (3, SHAPE.context_window))
    ours_BTV, theirs_BTV = model(ids_BT), llama_with_the_weights_of(model)(ids_BT).logits
    assert ours_BTV.std() > 0.5
    torch.testing.assert_close(ours_BTV, theirs_BTV, rtol=1e-5, atol=1e-5)
