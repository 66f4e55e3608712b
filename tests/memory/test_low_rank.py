"""Chains of adapters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import piste
from piste.memory import ChainOfLoRA

X = torch.randn(32, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 6)).double()


def train(model, opt, steps=5):
    for _ in range(steps):
        opt.zero_grad()
        (model(X) - 1).square().mean().backward()
        opt.step()


def test_a_chain_begins_as_the_model_and_trains_its_pairs_only():
    model, plain = net(), net()
    chain = ChainOfLoRA(model, rank=2)
    assert torch.equal(model(X), plain(X))
    opt = piste.AdamW(chain.parameters(), lr=0.1)
    train(model, opt)
    assert not torch.allclose(model(X), plain(X))
    assert torch.equal(model[0].base.weight, plain[0].weight) and torch.equal(
        model[0].base.bias, plain[0].bias
    )
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2 * (7 + 9 + 9 + 6)


@pytest.mark.parametrize("make", [piste.AdamW, torch.optim.AdamW])
def test_a_knot_leaves_the_function_and_begins_the_optimizer_anew(make):
    model = net()
    chain = ChainOfLoRA(model, rank=2, alpha=3.0)
    opt = make(chain.parameters(), lr=0.1)
    train(model, opt)
    before = model(X)
    chain.tie(opt)
    assert torch.allclose(model(X), before, rtol=1e-12)
    fresh = make(copy.deepcopy(chain.parameters()), lr=0.1)
    other = copy.deepcopy(model)
    fresh = make([p for p in other.parameters() if p.requires_grad], lr=0.1)
    train(model, opt)
    train(other, fresh)
    assert torch.equal(model(X), other(X))


def test_a_chain_is_merged_into_the_plain_model():
    model = net()
    chain = ChainOfLoRA(model, rank=2)
    opt = piste.AdamW(chain.named_parameters(), lr=0.1)
    for _ in range(3):
        train(model, opt)
        chain.tie(opt)
    train(model, opt)
    before, merged = model(X), chain.merge()
    assert torch.allclose(merged(X), before, rtol=1e-12)
    assert list(merged.state_dict()) == list(net().state_dict())
    assert torch.linalg.matrix_rank(merged[0].weight - net()[0].weight, rtol=1e-9) > 2


def test_the_beginnings_depend_on_seed_name_and_link_alone():
    one, two = ChainOfLoRA(net(), rank=2, seed=1), ChainOfLoRA(net(), rank=2, seed=1)
    torch.manual_seed(7)
    one.tie(), two.tie()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    first = one.parameters()[0].detach().clone()
    one.tie()
    assert not torch.equal(one.parameters()[0], first)
    assert not torch.equal(ChainOfLoRA(net(), rank=2, seed=2).parameters()[0], first)


def test_saved_and_loaded_in_its_precision():
    model = net().bfloat16()
    chain = ChainOfLoRA(model, rank=2)
    assert {p.dtype for p in chain.parameters()} == {torch.bfloat16}
    opt = piste.AdamW(chain.parameters(), lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        (model(X.bfloat16()) - 1).square().mean().backward()
        opt.step()
    other = net().bfloat16()
    ChainOfLoRA(other, rank=2)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(X.bfloat16()), model(X.bfloat16()))


def test_a_single_layer_is_a_chain_too():
    chain = ChainOfLoRA(nn.Linear(5, 4), rank=1)
    assert chain.model(torch.randn(2, 5)).shape == (2, 4)
    assert isinstance(chain.merge(), nn.Linear)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no linear layer"):
        ChainOfLoRA(nn.Sequential(nn.Conv2d(1, 1, 1)))
    with pytest.raises(ValueError, match="rank 8 of '0'"):
        ChainOfLoRA(net(), rank=8)
    with pytest.raises(ValueError, match="choose"):
        ChainOfLoRA(net(), rank=2, choose=lambda name, layer: False)
    model = net()
    with pytest.raises(ValueError, match="rank"):
        ChainOfLoRA(model, rank=0)
    assert all(p.requires_grad for p in model.parameters())
