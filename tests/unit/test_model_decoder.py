"""What the decoder computes, and that the quick ways compute what the plain ones do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.models import with_writers
from transformer_e2e.config.settings import ModelSettings
from transformer_e2e.model import attend, loss
from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.dropout import dropout
from transformer_e2e.model.qk_norm import Normalise
from transformer_e2e.model.rotary import rotary_tables, rotate
from transformer_e2e.model.shape import ModelShape

SHAPE = ModelShape(vocab_size=61, context_window=16, num_layers=2, num_heads=2, model_dim=32, mlp_dim=64)


@pytest.fixture
def model() -> Decoder:
    torch.manual_seed(0)
    return with_writers(Decoder(SHAPE)).eval()


def test_a_position_does_not_see_later_tokens(model):
    ids_BT = torch.randint(61, (2, 16))
    changed_BT = ids_BT.clone()
    changed_BT[:, 9:] = (ids_BT[:, 9:] + 1) % 61
    before, after = model(ids_BT), model(changed_BT)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.equal(before[:, 9], after[:, 9])


def test_a_sequence_fed_in_pieces_through_the_cache_gives_the_same_logits(model):
    ids_BT = torch.randint(61, (2, 16))
    cache = KeyValueCache(SHAPE, batch_size=2)
    pieces = [model(ids_BT[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, 13), (13, 16))]
    torch.testing.assert_close(torch.cat(pieces, 1), model(ids_BT), rtol=1e-5, atol=1e-5)


def test_more_positions_than_the_context_window_are_refused(model):
    with pytest.raises(ValueError, match="17 positions do not fit in a context window of 16"):
        model(torch.zeros(1, 17, dtype=torch.long))


def test_equal_seeds_give_equal_models_and_the_first_logits_are_nearly_even():
    torch.manual_seed(0)
    model = Decoder(SHAPE).eval()
    torch.manual_seed(0)
    again = Decoder(SHAPE)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    ids_BT, targets_BT = torch.randint(61, (2, 8, 16))
    per_token = model.loss(ids_BT, targets_BT).item() / targets_BT.numel()
    assert per_token == pytest.approx(torch.tensor(61.0).log().item(), abs=0.05)


def test_parameter_count_counts_the_tied_embedding_once(model):
    block = 3 * 32 * 32 + 32 * 32 + 3 * 32 * 64 + 2 * 32
    assert model.parameter_count() == 61 * 32 + 2 * block + 32


def test_mlp_dim_zero_means_eight_thirds_of_the_width_rounded_up():
    shape = ModelShape.of(ModelSettings(model_dim=256), vocab_size=10, context_window=8)
    assert shape.mlp_dim == 704
    assert ModelShape.from_json(shape.to_json()) == shape


@pytest.mark.parametrize("chunk", [61, 7 * 61, 1 << 21])
def test_chunked_loss_and_gradients_equal_the_plain_ones(monkeypatch, chunk):
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", chunk)
    torch.manual_seed(0)
    x_BTD, weight_VD = torch.randn(3, 5, 32), torch.randn(61, 32)
    targets_BT = torch.randint(61, (3, 5))
    targets_BT[1, 2:] = loss.IGNORED
    sides = []
    for quick in (True, False):
        x, w = x_BTD.clone().requires_grad_(), weight_VD.clone().requires_grad_()
        if quick:
            nats = loss.tied_cross_entropy(x, w, targets_BT)
        else:
            logits_NV = F.linear(x, w).flatten(0, 1)
            nats = F.cross_entropy(logits_NV, targets_BT.flatten(), reduction="sum")
        (nats / 7).backward()
        sides.append((nats.detach(), x.grad, w.grad))
    torch.testing.assert_close(sides[0], sides[1], rtol=1e-5, atol=1e-5)
    terms_BT = loss.tied_token_losses(x_BTD, weight_VD, targets_BT)
    torch.testing.assert_close(terms_BT.sum(), sides[1][0])
    assert terms_BT[1, 2:].eq(0).all()


def test_bf16_loss_stays_near_the_fp32_one(model):
    ids_BT, targets_BT = torch.randint(61, (2, 8, 16))
    exact = model.loss(ids_BT, targets_BT)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model.loss(ids_BT, targets_BT)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=1e-3)


@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_written_out_attention_gradients_equal_the_fused_ones(dtype, tolerance):
    torch.manual_seed(0)
    qkv = torch.randn(3, 2, 3, 16, 8)
    upstream = torch.randn(2, 3, 16, 8)
    exact, quick = qkv.clone().requires_grad_(), qkv.to(dtype).requires_grad_()
    F.scaled_dot_product_attention(*exact, is_causal=True).backward(upstream)
    attend.ShortAttention.apply(*quick).backward(upstream.to(dtype))
    torch.testing.assert_close(quick.grad.float(), exact.grad, rtol=tolerance, atol=tolerance)


def test_rotation_keeps_lengths_and_turns_gradients_back():
    torch.manual_seed(0)
    cos_TR, sin_TR = rotary_tables(6, 8, 10_000.0)
    x = torch.randn(2, 6, 3, 8, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(rotate(x, cos_TR, sin_TR).norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos_TR.double(), sin_TR.double()), x)


def test_scores_depend_on_the_distance_between_positions_alone():
    torch.manual_seed(0)
    cos_TR, sin_TR = rotary_tables(12, 8, 10_000.0)
    q, k = (torch.randn(8).expand(1, 12, 1, 8).contiguous() for _ in range(2))
    q, k = rotate(q, cos_TR, sin_TR)[0, :, 0], rotate(k, cos_TR, sin_TR)[0, :, 0]
    torch.testing.assert_close(q[7] @ k[4], q[11] @ k[8])


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    x = torch.ones(401, 1001)
    y = dropout(x, probability, training=True)
    assert (y == 0).float().mean().item() == pytest.approx(probability, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=0.02)
    assert dropout(x, probability, training=False) is x


def test_dropout_changes_what_training_computes_but_not_evaluation():
    torch.manual_seed(0)
    model = Decoder(replace(SHAPE, dropout=0.3))
    ids_BT = torch.randint(61, (1, 16))
    assert not torch.equal(model.train()(ids_BT), model(ids_BT))
    assert torch.equal(model.eval()(ids_BT), model(ids_BT))


def test_gradients_of_normalised_queries_and_keys_are_those_of_the_formula():
    torch.manual_seed(0)
    qk_BTHK = torch.randn(2, 3, 4, 8, dtype=torch.float64, requires_grad=True)
    gain_HK = torch.rand(4, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, gain: Normalise.apply(x, gain, 1e-5), (qk_BTHK, gain_HK))
