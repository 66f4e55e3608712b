"""Bytes that are counted: against sums done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import piste
from piste.memory import StableEmbedding, few_bit, measure, plain_embeddings
from piste.memory.measure import state_bytes

ROWS, WIDE = 64, 32


def mlp():
    return nn.Sequential(nn.Linear(WIDE, 4 * WIDE), nn.GELU(), nn.Linear(4 * WIDE, WIDE))


def counted(model, opt, forward=None, x=None):
    x = torch.randn(ROWS, WIDE) if x is None else x
    return measure(model, opt, lambda: (forward or model)(x).sum())


def test_every_part_is_what_a_hand_count_gives():
    model = mlp()
    seen = counted(model, piste.AdamW(model))
    weights = 4 * (2 * 4 * WIDE * WIDE + 5 * WIDE)
    assert (seen.weights, seen.gradients, seen.state, seen.buffers) == (weights, weights, 2 * weights, 0)
    assert seen.saved == 4 * (ROWS * WIDE + 2 * ROWS * 4 * WIDE)  # input, input of gelu, output of gelu
    assert seen.total == 4 * weights + seen.saved and seen.peak is None
    assert all(p.grad is None for p in model.parameters())


def test_views_and_shared_outputs_count_once():
    model = nn.Sequential(
        nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Unflatten(1, (4, 8)), nn.Flatten(), nn.Linear(WIDE, 1)
    )
    assert (
        counted(model, piste.SGD(model)).saved == 2 * 4 * ROWS * WIDE
    )  # the input, and relu's output for both


def test_codes_take_the_place_of_inputs():
    model = mlp()
    before = counted(model, piste.SGD(model)).saved
    few_bit(model, bits=2)
    after = counted(model, piste.SGD(model)).saved
    assert before - after == 4 * ROWS * 4 * WIDE - ROWS * 4 * WIDE // 4 - 4 * 4  # codes, and four levels


def test_a_checkpointed_region_keeps_its_input():
    model = mlp()
    seen = counted(
        model, piste.SGD(model), lambda x: checkpoint(model, x.requires_grad_(), use_reentrant=False)
    )
    assert seen.saved <= 4 * ROWS * WIDE


def test_released_gradients_are_held_one_at_a_time():
    model = mlp()
    opt = piste.AdamW(model)
    with piste.release_gradients(opt):
        seen = counted(model, opt)
    assert seen.gradients == 4 * 4 * WIDE * WIDE
    assert counted(model, opt).gradients == seen.weights


def test_buffers_and_torchs_own_optimizers():
    model = nn.Sequential(nn.Linear(WIDE, WIDE), nn.BatchNorm1d(WIDE))
    opt = torch.optim.Adam(model.parameters())
    assert counted(model, opt).state == 0
    model(torch.randn(4, WIDE)).sum().backward()
    opt.step()
    seen = counted(model, opt)
    assert seen.buffers == 2 * 4 * WIDE + 8 and seen.state == 2 * seen.weights + 4 * 4


def language_model():
    torch.manual_seed(0)
    return nn.Sequential(StableEmbedding(512, 64, padding_idx=0), nn.Linear(64, 64), nn.Linear(64, 512))


def test_a_stable_embedding_starts_and_looks_up_as_said():
    model = language_model()
    table = model[0].weight.detach()
    bound = (6 / (512 + 64)) ** 0.5
    assert table[0].eq(0).all() and 0.99 * bound < table.abs().max() <= bound
    rows = model[0](torch.tensor([[1, 2], [3, 0]]))
    assert rows.shape == (2, 2, 64) and rows[0].mean(-1).abs().max() < 1e-6
    assert torch.allclose(rows[0].std(-1, correction=0), torch.ones(2), atol=5e-3)
    rows.square().sum().backward()
    assert model[0].weight.grad[0].eq(0).all()
    assert model[0].bfloat16()(torch.tensor([1])).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="a row of 4"):
        StableEmbedding(4, 2, padding_idx=4)


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_its_state_stays_in_32_bits_beside_eight(name):
    model = language_model()
    make = getattr(piste, name)
    groups = plain_embeddings(make(model, lr=1e-2).param_groups, model)
    opt = make(groups, storage="8bit")
    assert sorted(g["optimizer"] for g in opt.param_groups) == sorted(g["optimizer"] for g in groups)
    assert (
        opt.state[model[0].weight]["exp_avg"].dtype
        == opt.state[model[0].weight]["exp_avg_sq"].dtype
        == torch.float32
    )
    other = opt.state[model[1].weight]
    assert torch.uint8 in {v.dtype for v in other.values() if isinstance(v, torch.Tensor)} or torch.int8 in {
        v.dtype for v in other.values() if isinstance(v, torch.Tensor)
    }
    whole = state_bytes(make(model, lr=1e-2, storage="8bit"))
    assert state_bytes(opt) > whole
    tokens = torch.randint(1, 512, (8, 16))
    for _ in range(2):
        model(tokens).logsumexp(-1).sum().backward()
        opt.step()
    assert [len(g["params"]) for g in opt.param_groups] and len(
        {id(p) for g in opt.param_groups for p in g["params"]}
    ) == 7


def test_a_model_without_one_is_told_so():
    model = mlp()
    with pytest.raises(ValueError, match="no StableEmbedding"):
        plain_embeddings(piste.AdamW(model).param_groups, model)
