"""MXFP4: the numbers there are, unbiased products, layers that stand in for torch's, and runs that resume."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import piste
from piste.memory import MXFP4Linear, mxfp4, rounded
from piste.memory.mxfp4 import bits, hadamard, product, uniform
from piste.race.tasks.gpt import GPT

NUMBERS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_rounding_to_the_nearest_is_brute_forces(dtype):
    x = torch.randn(9, 50).mul(torch.logspace(-30, 30, 9)[:, None]).to(dtype)
    for row, made in zip(x, rounded(x), strict=True):
        for part, got in zip(row.split(32), made.split(32), strict=True):
            scale = 2.0 ** (part.abs().max().double().log2().floor() - 2)
            off = ((part.double() / scale).abs()[:, None] - NUMBERS.double()).abs()
            here = (got.double() / scale).abs()
            assert torch.isin(here, NUMBERS.double()).all()
            assert torch.equal((part.double() / scale).abs().sub(here).abs(), off.amin(1))
            assert ((got == 0) | (got.sign() == part.sign())).all()


def test_ties_go_to_even_and_what_is_above_the_largest_to_it():
    x = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 7.9, -5.0])
    assert rounded(x).tolist() == [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0, -4.0]


def test_zeros_stay_and_what_is_not_finite_is_not_hidden():
    assert rounded(torch.zeros(2, 40)).eq(0).all()
    x = torch.ones(64)
    x[3] = torch.inf
    made = rounded(x, torch.zeros(64))
    assert made[:32].isnan().all() and made[32:].isfinite().all()


def test_stochastic_rounding_is_unbiased_and_lands_on_the_numbers():
    x = torch.linspace(-7.99, 7.99, 32, dtype=torch.float64)
    draws = torch.stack([rounded(x, uniform(x, torch.tensor(k))) for k in range(4000)])
    assert torch.isin(draws.abs(), NUMBERS.double()).all()
    assert ((draws.mean(0) - 0.75 * x).abs() <= 5 * draws.std(0) / 4000**0.5 + 1e-12).all()


def test_random_bits_are_those_of_splitmix64():
    mask = (1 << 64) - 1
    words = []
    for i in (1, 2, 3):
        z = (12345 + i * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        words.append(z ^ (z >> 31))
    seen = [w & 0xFFFFFFFF for w in bits(5, torch.tensor(12345)).tolist()]
    assert seen == [h for w in words for h in (w & 0xFFFFFFFF, w >> 32)][:5]


def test_hadamards_matrix_is_orthogonal_and_flat():
    h = hadamard(64, torch.device("cpu"), torch.float64)
    assert torch.allclose(h @ h.mT, torch.eye(64, dtype=torch.float64)) and torch.allclose(
        h.abs(), h.new_tensor(0.125)
    )


@pytest.mark.parametrize("rotate", [None, 64])
@pytest.mark.parametrize("length", [64, 50])
def test_products_are_unbiased(rotate, length):
    a, b = torch.randn(3, length, dtype=torch.float64), torch.randn(4, length, dtype=torch.float64)
    seen = torch.stack([product(a, b, torch.tensor(k), rotate) for k in range(3000)])
    assert ((seen.mean(0) - a @ b.mT).abs() <= 4.5 * seen.std(0) / 3000**0.5).all()
    near = torch.stack([product(a, b, torch.tensor(k), None, stochastic=False) for k in range(2)])
    assert torch.equal(near[0], near[1]) and not torch.allclose(near[0], a @ b.mT)


def model_and_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 33), nn.Tanh(), nn.Linear(33, 3))
    return model, torch.randn(6, 5, 20)


def gradients(model, x):
    model.zero_grad()
    model(x).square().sum().backward()
    return [p.grad.clone() for p in model.parameters()]


def test_layers_are_replaced_with_their_parameters_and_heads_left():
    model, x = model_and_batch()
    before, weights = model(x), list(model.parameters())
    assert mxfp4(model) is model
    assert [type(m).__name__ for m in model] == ["MXFP4Linear", "Tanh", "MXFP4Linear", "Tanh", "Linear"]
    assert torch.equal(model(x), before) and all(
        a is b for a, b in zip(model.parameters(), weights, strict=True)
    )
    assert isinstance(mxfp4(model_and_batch()[0], head=True)[4], MXFP4Linear)
    assert (
        piste.Muon(model).param_groups[0]["param_names"]
        == piste.Muon(model_and_batch()[0]).param_groups[0]["param_names"]
    )


def test_gradients_are_near_and_each_pass_draws_anew():
    model, x = model_and_batch()
    exact, mean = gradients(model, x), None
    mxfp4(model)
    drawn = [gradients(model, x) for _ in range(400)]
    assert not torch.equal(drawn[0][0], drawn[1][0])
    for i, true in enumerate(exact):
        mean = torch.stack([d[i] for d in drawn]).mean(0)
        assert (mean - true).norm() < 0.12 * true.norm(), i
        one = (drawn[0][i] - true).norm() / true.norm()
        assert one < 1.2 and (one > 0.02 or i not in (0, 2))  # what the head hands back is exact, and its own


def test_a_run_that_goes_on_draws_what_an_uninterrupted_one_would():
    model, x = model_and_batch()
    mxfp4(model)
    gradients(model, x)
    state = copy.deepcopy(model.state_dict())
    second = gradients(model, x)
    other = mxfp4(model_and_batch()[0])
    other.load_state_dict(state)
    assert all(map(torch.equal, gradients(other, x), second))
    assert all(
        map(torch.equal, gradients(mxfp4(model_and_batch()[0]), x), gradients(mxfp4(model_and_batch()[0]), x))
    )
    assert not torch.equal(
        gradients(mxfp4(model_and_batch()[0], seed=1), x)[0], gradients(mxfp4(model_and_batch()[0]), x)[0]
    )


def test_checkpointing_draws_once():
    model, x = model_and_batch()
    mxfp4(model)
    other = copy.deepcopy(model)
    for _ in range(2):
        plain = gradients(model, x)
        again = gradients(lambda_module(other), x)
    assert all(map(torch.equal, plain, again)) and int(other[0].passes) == 2


def lambda_module(model):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=False)

    return Checkpointed()


@pytest.mark.parametrize("autocast", [False, True])
def test_the_dtypes_of_gradients_are_the_parameters(autocast):
    model, x = model_and_batch()
    mxfp4(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = model(x)
    y.square().sum().backward()
    assert y.dtype == (torch.bfloat16 if autocast else torch.float32)
    assert all(p.grad.dtype == p.dtype for p in model.parameters())


def test_double_precision_stays_double():
    model, x = model_and_batch()
    seen = gradients(mxfp4(model).double(), x.double())
    assert all(g.dtype == torch.float64 for g in seen) and model[0].passes.dtype == torch.int64


def test_the_forward_product_is_rounded_where_asked():
    layer = MXFP4Linear(40, 8, forward_too=True)
    x = torch.randn(3, 40)
    assert torch.equal(layer(x), F.linear(rounded(x), rounded(layer.weight), layer.bias))


def test_tied_heads_stay_and_a_transformer_trains():
    torch.manual_seed(0)
    model = GPT(vocabulary=50, width=32, blocks=1, heads=2, context=16)
    model.head.weight = model.embedding.weight
    mxfp4(model, head=True)
    assert type(model.head) is nn.Linear and isinstance(model.blocks[0].mlp[0], MXFP4Linear)
    opt, tokens = piste.AdamW(model, lr=1e-2), torch.randint(50, (4, 17))

    def loss():
        return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    first = loss().item()
    for _ in range(30):
        opt.zero_grad()
        loss().backward()
        opt.step()
    assert loss().item() < 0.5 * first


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="power of two"):
        MXFP4Linear(4, 4, rotate=48)
    with pytest.raises(ValueError, match="nothing to compute in MXFP4"):
        mxfp4(nn.Sequential(nn.Conv1d(2, 2, 1)))
    x = torch.randn(2, 4, requires_grad=True)
    (g,) = torch.autograd.grad(MXFP4Linear(4, 4)(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        g.sum().backward()
