"""Subspaces: which rows are drawn, what turns with them, what is refused; steps inside backward."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import piste
from piste.transforms import in_drawn_rows, in_weighted_rows
from tiny import tiny, words

DRAWN = [{}, {"power": 1.0}, {"power": 2.0}, {"power": 0.0}, {"power": 1.0, "replacement": True}]
IDS = ["top", "norm", "square", "uniform", "replaced"]


def matrix(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def alone(name, w, **hyper):
    factory = getattr(piste, name)
    return factory([factory.group([("h.weight", w)], **hyper)])


@pytest.mark.parametrize("shape", [(9, 14), (14, 9)])
@pytest.mark.parametrize("hyper", DRAWN, ids=IDS)
def test_only_chosen_rows_move_until_others_are_chosen(hyper, shape):
    w = nn.Parameter(matrix(0, *shape))
    opt = alone("GrassAdamW", w, lr=0.1, rank=3, update_proj_gap=4, **hyper)
    axis = 1 if shape[0] < shape[1] else 0
    for period in range(3):
        seen = set()
        for t in range(4):
            before = w.detach().clone()
            w.grad = matrix(10 * period + t + 1, *shape)
            opt.step()
            moved = (w.detach() != before).any(axis).nonzero().flatten().tolist()
            seen |= set(moved)
            assert set(opt.state[w]["chosen"].tolist()) == set(moved)
        assert len(seen) <= 3
        if not hyper.get("replacement"):
            assert len(seen) == 3


def test_the_top_rows_are_those_of_the_largest_norms():
    w, g = nn.Parameter(torch.zeros(6, 8).double()), matrix(1, 6, 8)
    opt = alone("GrassAdamW", w, lr=0.1, rank=2)
    w.grad = g
    opt.step()
    assert set(opt.state[w]["chosen"].tolist()) == set(g.norm(dim=1).topk(2).indices.tolist())


def test_a_new_choice_is_a_fresh_adam():
    w = nn.Parameter(torch.zeros(6, 8).double())
    opt = alone("GrassAdamW", w, lr=0.1, rank=6, update_proj_gap=3, scale=1.0)
    for t in range(3):
        w.grad = matrix(t, 6, 8)
        opt.step()
    later = nn.Parameter(w.detach().clone())
    other = piste.Adam([later], lr=0.1)
    for t in range(3, 6):
        w.grad, later.grad = matrix(t, 6, 8), matrix(t, 6, 8)
        opt.step()
        other.step()
    assert torch.allclose(w, later, rtol=1e-12)


def test_rows_are_drawn_as_often_as_their_norms_say():
    sizes = torch.tensor([4.0, 2.0, 1.0, 1.0]).double()
    g = sizes.unsqueeze(1) * torch.ones(4, 5).double()
    for rule in (in_drawn_rows, in_weighted_rows):
        counts = torch.zeros(4)
        for i in range(3000):
            part = rule(piste.transforms.take_sign(), 1)
            chain = piste.chain(part)
            w = {"w": torch.zeros(4, 5).double()}
            state = piste.functional.init(chain, w)
            u, _ = piste.functional.update(chain, {"w": g}, state, w, seed=i)
            counts[int((u["w"] != 0).any(1).nonzero()[0])] += 1
        assert torch.allclose(counts / 3000, (sizes / 8).float(), atol=0.03)


@pytest.mark.parametrize("hyper", DRAWN, ids=IDS)
def test_a_gradient_of_zeros_or_of_huge_numbers_leaves_everything_finite(hyper):
    w = nn.Parameter(matrix(0, 6, 8).float())
    opt = alone("GrassAdamW", w, lr=0.1, rank=3, update_proj_gap=1, **hyper)
    for g in (torch.zeros(6, 8), torch.full((6, 8), 1e25), matrix(1, 6, 8).float()):
        w.grad = g
        opt.step()
        assert w.isfinite().all()


@pytest.mark.parametrize("name", ["GrassAdamW", "OnlineSubspaceAdamW", "OnlineSubspaceLion", "FiraAdamW"])
def test_a_rank_above_the_matrix_is_its_own(name):
    w = nn.Parameter(matrix(0, 4, 6))
    opt = alone(name, w, lr=0.01, rank=100)
    for t in range(3):
        w.grad = matrix(t, 4, 6)
        opt.step()
    assert opt.state_bytes() == opt.forecast_bytes() and w.isfinite().all()


@pytest.mark.parametrize("name", ["OnlineSubspaceAdamW", "FiraAdamW"])
def test_a_first_gradient_of_zeros_is_no_space(name):
    w = nn.Parameter(matrix(0, 4, 6))
    opt = alone(name, w, lr=0.01, rank=2)
    for g in (torch.zeros(4, 6).double(), matrix(1, 4, 6), torch.zeros(4, 6).double(), matrix(2, 4, 6)):
        w.grad = g
        opt.step()
        assert w.isfinite().all() and opt.state[w]["P"].isfinite().all()


def test_the_tracked_space_stays_where_its_rate_is_zero():
    w = nn.Parameter(matrix(0, 4, 6))
    opt = alone("OnlineSubspaceAdamW", w, lr=0.01, rank=2, projection_lr=0.0)
    w.grad = matrix(1, 4, 6)
    opt.step()
    first = opt.state[w]["P"].clone()
    for t in range(3):
        w.grad = matrix(t, 4, 6)
        opt.step()
    assert torch.equal(opt.state[w]["P"], first)
    opt.schedules["projection_lr"] = lambda t: 0.1
    opt.step()
    assert not torch.equal(opt.state[w]["P"], first)


def test_a_tracked_space_has_its_hypergradient():
    begin, slope = matrix(0, 5, 5), matrix(1, 5, 5)

    def train(lr):
        chain, params = piste.OnlineSubspaceAdamW.chain(lr=lr, rank=3), {"w": begin}
        state = piste.functional.init(chain, params)
        for _ in range(6):
            grads = {"w": 4 * (params["w"] - slope) ** 3 + params["w"].cos()}
            params, state = piste.functional.step(chain, grads, state, params)
        return (params["w"] * torch.linspace(-1, 1, 25, dtype=torch.float64).view(5, 5)).sum()

    rate = torch.tensor(3e-3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(train(rate), rate)
    difference = (train(3e-3 + 1e-6) - train(3e-3 - 1e-6)) / 2e-6
    assert float(found) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "hyper", "said"),
    [
        ("GrassAdamW", {"rank": 0}, "rank"),
        ("GrassAdamW", {"update_proj_gap": 0}, "update_proj_gap"),
        ("GrassAdamW", {"power": -1.0}, "power"),
        ("GrassAdamW", {"power": math.inf, "replacement": True}, "replacement"),
        ("OnlineSubspaceAdamW", {"rank": 0}, "rank"),
        ("OnlineSubspaceLion", {"projection_lr": -1.0}, "projection_lr"),
        ("FiraAdamW", {"rank": 0}, "rank"),
        ("FiraAdamW", {"limit": 0.0}, "limit"),
        ("LOMO", {"clip_grad_value": -1.0}, "clip_grad_value"),
    ],
)
def test_bad_hyperparameters_are_refused(name, hyper, said):
    with pytest.raises(ValueError, match=f"{name}.*{said}"):
        getattr(piste, name)(nn.Linear(4, 4), **hyper)


@pytest.mark.parametrize("name", ["LOMO", "GrassAdamW", "OnlineSubspaceAdamW", "FiraAdamW", "AdamW"])
def test_steps_inside_backward_are_the_ordinary_steps(name):
    nets = [tiny(dtype=torch.float64), tiny(dtype=torch.float64)]
    opts = [getattr(piste, name)(net, lr=0.01) for net in nets]
    with piste.release_gradients(opts[0]):
        for t in range(4):
            for net, opt in zip(nets, opts, strict=True):
                net.loss(words(t)).backward()
                opt.step()
                opt.zero_grad()
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(a, b)
