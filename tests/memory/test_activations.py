"""Few-bit activations: the levels are the best ones, the codes are as small as they say, gradients are as rounded."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import piste
from piste.memory import FewBit, few_bit, measure, optimal_levels
from piste.memory.activations import EDGE, EVEN, KNOWN, SMOOTH, STEPS, _levels, _made, pack, unpack

ARGUMENTS = {
    nn.Threshold: (0.3, 0.1),
    nn.Softplus: (2.0,),
    nn.CELU: (1.5,),
    nn.LeakyReLU: (0.2,),
    nn.GELU: ("tanh",),
}


def slopes(act, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(act(x).sum(), x)[0]


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
def test_no_choice_of_borders_is_better(pieces):
    random = torch.Generator().manual_seed(pieces)
    f = torch.randn(
        12, generator=random, dtype=torch.float64
    )  # constant on each of 12 segments of uneven width
    width = torch.rand(12, generator=random, dtype=torch.float64) + 0.1
    x, integral, square = (
        torch.cat([torch.zeros(1, dtype=torch.float64), t.cumsum(0)])
        for t in (width, f * width, f.square() * width)
    )
    found = optimal_levels(x, integral, square, pieces)

    def error(cuts):
        parts = [slice(a, b) for a, b in itertools.pairwise((0, *cuts, 12))]
        means = [(f[p] * width[p]).sum() / width[p].sum() for p in parts]
        return float(sum(((f[p] - m).square() * width[p]).sum() for p, m in zip(parts, means, strict=True)))

    tried = {cuts: error(cuts) for cuts in itertools.combinations(range(1, 12), pieces - 1)}
    best = min(tried, key=tried.__getitem__)
    assert found.borders == tuple(x[list(best)].tolist())
    assert found.error == pytest.approx(tried[best], rel=1e-9, abs=1e-12)


def test_too_many_pieces_are_refused():
    x = torch.arange(4, dtype=torch.float64)
    with pytest.raises(ValueError, match="from 1 to 3"):
        optimal_levels(x, x, x, 4)


@pytest.mark.parametrize("kind", SMOOTH, ids=lambda k: k.__name__)
def test_more_bits_are_closer_and_the_error_is_what_it_says(kind):
    act = kind(*ARGUMENTS.get(kind, ()))
    x = torch.linspace(-EDGE, EDGE, 40_001, dtype=torch.float64)
    exact, last = slopes(act, x), float("inf")
    for bits in (1, 2, 3, 4):
        seen = float((slopes(FewBit(act, bits), x) - exact).square().mean()) * 2 * EDGE
        said = _levels(_made(act), bits).error * (2 if kind in EVEN else 1)
        assert seen == pytest.approx(said, rel=0.02) and seen < 0.6 * last
        last = seen


@pytest.mark.parametrize("kind", [nn.GELU, nn.SiLU, nn.Softplus, nn.LogSigmoid])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_where_the_derivative_is_odd_about_a_half_so_are_the_levels(kind, bits):
    found = _levels(_made(kind()), bits)
    assert all(abs(a + b) < 0.011 for a, b in zip(found.borders, reversed(found.borders), strict=True))
    assert all(abs(a + b - 1) < 0.01 for a, b in zip(found.values, reversed(found.values), strict=True))


@pytest.mark.parametrize("kind", EVEN)
def test_even_derivatives_stay_even(kind):
    x = torch.linspace(0.01, 12, 300)
    assert torch.equal(slopes(FewBit(kind()), x), slopes(FewBit(kind()), -x))


@pytest.mark.parametrize("kind", STEPS, ids=lambda k: k.__name__)
def test_two_slopes_are_exact_in_one_bit(kind):
    act = kind(*ARGUMENTS.get(kind, ()))
    x = torch.cat([3 * torch.randn(1000), torch.tensor([0.0, 6.0, -3.0, 3.0, 1.0, -1.0, 0.5, -0.5, 0.3])])
    assert torch.equal(slopes(FewBit(act), x), slopes(act, x))


@pytest.mark.parametrize("kind", KNOWN, ids=lambda k: k.__name__)
def test_the_forward_pass_is_torchs(kind):
    act = kind(*ARGUMENTS.get(kind, ()))
    x = torch.randn(50, requires_grad=True)
    assert torch.equal(FewBit(act)(x), act(x)) and torch.equal(FewBit(act)(x.detach()), act(x))


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(5, 7), (16,), (), (0, 3)])
def test_codes_come_back_from_as_few_bytes(bits, shape):
    codes = torch.randint(0, 2**bits, shape, dtype=torch.uint8)
    packed = pack(codes, bits)
    assert packed.numel() == bits * -(-codes.numel() // 8) and torch.equal(
        unpack(packed, codes.shape), codes.int()
    )


@pytest.mark.parametrize(("bits", "share"), [(1, 1 / 32), (2, 2 / 32), (3, 3 / 32), (4, 4 / 32)])
def test_what_is_kept_is_the_codes_alone(bits, share):
    model = nn.Sequential(FewBit(nn.GELU(), bits))
    x = torch.randn(64, 64, requires_grad=True)
    saved = measure(model, piste.SGD([nn.Parameter(torch.zeros(1))]), lambda: model(x).sum()).saved
    assert 0 <= saved - share * x.numel() * 4 <= 4 * 2**bits


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_precision_and_strides(dtype):
    f = FewBit(nn.SiLU())
    x = torch.randn(6, 4, 5).to(dtype).transpose(0, 2)
    there = x.detach().requires_grad_()
    f(there).sum().backward()
    assert there.grad.dtype == dtype and torch.equal(there.grad, slopes(f, x.contiguous()))
    assert (there.grad.double() - slopes(nn.SiLU(), x.double())).abs().max() < 0.13


def test_autocast_and_checkpointing_give_the_same_gradients():
    model = nn.Sequential(nn.Linear(8, 16), FewBit(nn.Softplus()), nn.Linear(16, 4))
    x = torch.randn(5, 8)

    def gradients(forward):
        model.zero_grad()
        forward(x).square().sum().backward()
        return [p.grad.clone() for p in model.parameters()]

    plain = gradients(model)
    again = gradients(lambda t: checkpoint(model, t, use_reentrant=False))
    assert all(map(torch.equal, plain, again))
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradients(model)
    assert all((a - b).norm() < 0.05 * a.norm() for a, b in zip(plain, rough, strict=True))


def test_gradients_of_functions_of_many_samples():
    f, x = FewBit(nn.GELU(), 2), torch.randn(7, 5)
    assert torch.equal(torch.func.vmap(torch.func.grad(lambda t: f(t).sum()))(x), slopes(f, x))


def test_second_derivatives_are_refused():
    x = torch.randn(4, requires_grad=True)
    y = FewBit(nn.GELU())(x)
    (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        g.sum().backward()


def test_a_model_is_changed_throughout_and_copies_and_trains():
    shared = nn.ReLU(inplace=True)
    model = nn.Sequential(
        nn.Linear(3, 4), shared, nn.Sequential(nn.Linear(4, 4), nn.GELU(), shared), nn.Softmax(-1)
    )
    assert few_bit(model, bits=2) is model
    assert [type(m).__name__ for m in (model[1], model[2][1], model[2][2])] == ["FewBit"] * 3
    assert model[1] is model[2][2] and shared.inplace and isinstance(model[3], nn.Softmax)
    few_bit(nn.Sequential(model, nn.SiLU()))  # what is changed already is left alone
    assert isinstance(model[1].activation, nn.ReLU)
    assert isinstance(few_bit(nn.GELU()), FewBit)
    x = torch.randn(2, 3)
    assert torch.equal(copy.deepcopy(model)(x), model(x)) and not [
        k for k in model.state_dict() if "activation" in k
    ]


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match="PReLU is not among them"):
        FewBit(nn.PReLU())
    with pytest.raises(ValueError, match="bits is 1, 2, 3 or 4, not 5"):
        FewBit(nn.GELU(), 5)
    with pytest.raises(ValueError, match=r"no activation module.*F\.gelu"):
        few_bit(nn.Sequential(nn.Linear(2, 2)))
