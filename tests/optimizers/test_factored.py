"""Factored, shared and sparse second moments: beside torch, through views, on gradients of zeros, in few bytes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import piste
from optimizers.trajectories import distance, follow, problem, start

SHAPES = [(6, 6), (7, 3), (3, 7), (9,), ()]
ALL = ["Adafactor", "CAME", "SM3", "SM3I", "AdamMini", "AdamSN", "AdamSNSM", "AdaGradSN", "MicroAdam"]


def made(name, params, **hyper):
    """All parameters its own."""
    factory = getattr(piste, name)
    return factory([factory.group(params, **hyper)])


def ran(name, shapes=SHAPES, steps=12, **hyper):
    params, grads = problem(shapes, steps)
    live = start(params)
    return follow(made(name, live, **hyper), live, grads)


@pytest.mark.parametrize("hyper", [{}, {"lr": 0.5, "weight_decay": 0.1}, {"d": 1.5, "beta2_decay": -0.5}])
def test_adafactor_is_torchs(hyper):
    params, grads = problem(SHAPES, 40)
    ours, theirs = start(params), start(params)
    want = follow(torch.optim.Adafactor(theirs, **hyper), theirs, grads)
    assert distance(follow(piste.Adafactor(ours, **hyper), ours, grads), want) < 1e-13


def test_adafactor_without_relative_steps_is_rmsprop_on_a_vector():
    params, grads = problem([(9,)], 15)
    v, w = torch.zeros(9, dtype=torch.float64), params[0]
    for t, (g,) in enumerate(grads, start=1):
        v = v + (g**2 - v) * t**-0.8
        w = w - 0.01 * g / v.sqrt()
    hyper = dict(lr=0.01, relative_step=False, scale_parameter=False, d=100.0)
    assert distance(ran("Adafactor", [(9,)], 15, **hyper), [w]) < 1e-12


def test_adafactors_momentum_keeps_one_more_buffer_and_ends_with_lr():
    (w,) = start([torch.randn(8, 5, dtype=torch.float64)])
    opt = piste.Adafactor([w], beta1=0.9)
    follow(opt, [w], [[torch.randn(8, 5, dtype=torch.float64)]] * 2)
    assert opt.state_bytes() == 8 * (8 * 5 + 8 + 5)
    opt.param_groups[0]["lr"], before = 0.0, w.detach().clone()
    follow(opt, [w], [[torch.randn(8, 5, dtype=torch.float64)]])
    assert torch.equal(w, before)


@pytest.mark.parametrize("name", ALL)
def test_gradients_of_zeros_move_nothing(name):
    """In float32, where the squares of small numbers vanish; and rows or columns of zeros leave the others alone."""
    live = [nn.Parameter(torch.randn(*shape)) for shape in ((6, 5), (4,))]
    before = [p.detach().clone() for p in live]
    opt = made(name, live, lr=0.1, weight_decay=0.0)
    zeros = [torch.zeros_like(p) for p in live]
    assert all(torch.equal(a, b) for a, b in zip(follow(opt, live, [zeros] * 2), before, strict=True))
    some = [torch.randn(6, 5), torch.randn(4)]
    some[0][2] = some[0][:, 3] = 0.0
    after = follow(opt, live, [some] * 2)
    assert all(p.isfinite().all() for p in after)
    assert torch.equal(after[0][2], before[0][2]) and torch.equal(after[0][:, 3], before[0][:, 3])
    assert not torch.equal(after[0], before[0])


@pytest.mark.parametrize("name", ALL)
def test_state_takes_what_was_forecast(name):
    live = [nn.Parameter(torch.randn(*shape)) for shape in ((40, 30), (7,))]
    opt = made(name, live, lr=0.1)
    follow(opt, live, [[torch.randn_like(p) for p in live]])
    assert opt.state_bytes() == opt.forecast_bytes()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Adafactor", 40 + 30),
        ("CAME", 40 * 30 + 2 * (40 + 30)),
        ("SM3", 40 * 30 + 40 + 30),
        ("AdamMini", 40 * 30 + 40),
        ("AdamSN", 40 * 30 + 40),
        ("AdaGradSN", 40 * 30 + 40),
        ("AdamSNSM", 4 * (40 + 30) + 40),
    ],
)
def test_what_a_matrix_keeps(name, numbers):
    opt = made(name, [nn.Parameter(torch.zeros(40, 30))], **({"rank": 4} if name == "AdamSNSM" else {}))
    assert opt.forecast_bytes() == 4 * numbers


def test_micro_adam_keeps_less_than_a_byte_a_weight():
    d, kept = 256 * 300, -(-256 * 300 // 100)
    opt = piste.MicroAdam([nn.Parameter(torch.zeros(256, 300))], storage="bf16")
    assert (
        opt.forecast_bytes() == pytest.approx(d / 2 + 10 * 4 * kept + 4 * d / 64, rel=1e-3)
        and d > opt.forecast_bytes()
    )
    plain = piste.MicroAdam([nn.Parameter(torch.zeros(256, 300))])
    assert plain.forecast_bytes() == pytest.approx(d / 2 + 10 * 6 * kept + 8 * d / 64, rel=1e-3)


def test_micro_adam_with_everything_kept_is_adam_of_a_window():
    """No errors are left, and with a window as long as the run it is Adam."""
    hyper = dict(density=1.0, ngrads=12)
    params, grads = problem([(6, 5)], 12)
    live, theirs = start(params), start(params)
    got = follow(piste.MicroAdam(live, lr=0.01, **hyper), live, grads)
    want = follow(torch.optim.Adam(theirs, lr=0.01), theirs, grads)
    assert distance(got, want) < 1e-12


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 8)
        self.q_proj, self.norm = nn.Linear(8, 8, bias=False), nn.LayerNorm(8)
        self.head = nn.Linear(8, 12, bias=False)


def test_adam_mini_shares_by_token_neuron_head_and_vector():
    net = Attention()
    opt = piste.AdamMini(net, overrides={"q_proj.weight": "(h d) i -> h (d i) | h=2"})
    kept = {n: opt.state[p]["exp_avg_sq"].numel() for n, p in net.named_parameters()}
    rest = {"embed.weight": 12, "norm.weight": 1, "norm.bias": 1, "head.weight": 12}
    assert kept == {**rest, "q_proj.weight": 2}
    plain = piste.AdamMini(Attention())
    assert sorted(s["exp_avg_sq"].numel() for s in plain.state.values()) == [1, 1, 8, 12, 12]
    whole = piste.AdamMini(net, overrides={"q_proj.weight": "o i -> 1 (o i)"})
    assert whole.state[net.q_proj.weight]["exp_avg_sq"].numel() == 1


def test_a_head_by_its_view_is_a_parameter_of_its_own():
    params, grads = problem([(6, 4)], 10)
    live, halves = start(params), start(list(params[0].chunk(2)))
    group = {**piste.AdamMini.group(live, lr=0.01), "view": "(h d) i -> h (d i) | h=2"}
    got = follow(piste.AdamMini([group]), live, grads)
    flat = [nn.Parameter(p.detach().flatten()) for p in halves]
    want = follow(piste.AdamMini(flat, lr=0.01), flat, [[x.flatten() for x in g.chunk(2)] for (g,) in grads])
    assert distance(got, [torch.cat([x.view(3, 4) for x in want])]) < 1e-14


def test_a_rank_above_the_shorter_side_is_that_side():
    whole = ran("AdamSNSM", rank=128)
    assert distance(ran("AdamSNSM", rank=7), whole) < 1e-14
    assert distance(ran("AdamSNSM", rank=2), whole) > 1e-4
    assert distance(ran("AdamSN"), whole) < 1e-12  # momentum in all directions


def test_subset_norms_leave_what_is_no_hidden_matrix_to_adamw():
    net = Attention()
    opt = piste.AdamSN(net, lr=0.05)
    by = {n: g["optimizer"] for g in opt.param_groups for n in g["param_names"]}
    assert by["embed.weight"] == by["norm.weight"] == "AdamW" and by["q_proj.weight"] == "AdamSN"
    assert {g["lr"] for g in opt.param_groups if g["optimizer"] == "AdamW"} == {1e-3}


def test_without_momentum_subset_norms_keep_no_buffer():
    (w,) = start([torch.randn(9, 4, dtype=torch.float64)])
    assert made("AdamSN", [w], betas=(0.0, 0.999)).forecast_bytes() == 8 * 9
    assert made("AdaGradSN", [w], momentum=0.0).forecast_bytes() == 8 * 9


@pytest.mark.parametrize(
    ("name", "hyper", "said"),
    [
        ("Adafactor", {"beta2_decay": 0.5}, "beta2_decay"),
        ("Adafactor", {"d": 0.0}, "root mean square"),
        ("CAME", {"clip_threshold": 0.0}, "clip_threshold"),
        ("CAME", {"betas": (0.9, 0.999, 1.0)}, "betas"),
        ("AdamSNSM", {"rank": 0}, "rank"),
        ("MicroAdam", {"density": 0.0}, "density"),
        ("MicroAdam", {"density": 1.5}, "density"),
        ("MicroAdam", {"ngrads": 0}, "ngrads"),
        ("MicroAdam", {"topk_block_size": 65536}, "topk_block_size"),
        ("MicroAdam", {"quant_block_size": 0}, "quant_block_size"),
    ],
)
def test_bad_hyperparameters_are_refused_with_their_name(name, hyper, said):
    with pytest.raises(ValueError, match=said):
        made(name, [nn.Parameter(torch.zeros(4, 3))], **hyper)
