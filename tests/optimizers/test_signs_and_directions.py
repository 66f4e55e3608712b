"""Signs and directions: the κ of Lion, what the composites hold, projections, the half-implicit flow, guesses."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.stablemax import log_stablemax, softmax_collapse, stablemax, stablemax_cross_entropy
from piste.transforms import descend, extrapolate_gradients, scale_by_adam, scale_by_lion, watch_alignment
from reference import (
    adamp,
    ano,
    grams,
    lionk,
    lookaheadadamw,
    optimisticamsgrad,
    orthogradadamw,
    orthogradsgd,
    sgdp,
)


@piste.optimizer
def WatchedSGD(lr=0.1):
    return chain(watch_alignment(), descend(lr))


def ends(factory, textbook, shapes=SHAPES, steps=12, **hyper):
    params, grads = problem(shapes, steps=steps)
    live = start(params)
    got = follow(factory([factory.group(live, **hyper)]), live, grads)
    return distance(got, textbook(params, grads, **hyper))


@pytest.mark.parametrize("kappa", sorted(lionk.SLOPES))
def test_every_kappa_is_the_subgradient_of_its_function(kappa):
    shapes = [(5, 5), (4, 4), (6,)]
    gap = ends(piste.LionK, lionk.reference, shapes, lr=0.01, kappa=kappa, width=0.5, weight_decay=0.1)
    assert gap < (1e-9 if kappa == "spectral" else 1e-12)


def test_with_the_sign_it_is_lion():
    params, grads = problem(SHAPES, steps=12)
    a, b = start(params), start(params)
    one = follow(piste.LionK(a, lr=0.01, weight_decay=0.1), a, grads)
    other = follow(piste.Lion(b, lr=0.01, weight_decay=0.1), b, grads)
    assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


BAD = [
    (piste.LionK, {"kappa": "signs"}, "did you mean 'sign'"),
    (piste.LionK, {"width": 0.0}, "width"),
    (piste.Ano, {"betas": (0.9, 0.3)}, "second beta"),
    (piste.Anolog, {"beta2": 0.4}, "second beta"),
    (piste.Gravity, {"alpha": -1.0}, "alpha"),
    (piste.NAGGS, {"mu": -1.0}, "mu"),
    (piste.NAGGS, {"gamma": 0.0}, "gamma"),
    (piste.AdamP, {"delta": -0.1}, "delta"),
    (piste.SGDP, {"wd_ratio": -0.1}, "wd_ratio"),
    (piste.SGDP, {"nesterov": True}, "momentum"),
    (piste.OrthogradSGD, {"nesterov": True}, "momentum"),
    (piste.OptimisticAMSGrad, {"span": 1}, "span=0"),
    (piste.OptimisticAMSGrad, {"damp": 0.0}, "damp"),
    (piste.LookaheadSGD, {"k": 0}, "k counts"),
    (piste.LookaheadAdamW, {"k": 0}, "k counts"),
]


@pytest.mark.parametrize(("factory", "hyper", "said"), BAD, ids=lambda x: str(getattr(x, "__name__", x)))
def test_bad_hyperparameters_are_refused_by_name(factory, hyper, said):
    with pytest.raises(ValueError, match=said):
        factory(start(problem(SHAPES, 1)[0]), **hyper)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("delta", [0.1, 0.7, 10.0])
def test_projections_apply_by_rows_or_else_by_tensors(delta, nesterov):
    shapes = [(5, 5), (7, 3), (1, 6), (6,), (2, 3, 2, 2)]
    hyper = {"lr": 0.05, "delta": delta, "nesterov": nesterov, "weight_decay": 0.1}
    assert ends(piste.AdamP, adamp.reference, shapes, **hyper) < 1e-12
    assert ends(piste.SGDP, sgdp.reference, shapes, momentum=0.9, **hyper) < 1e-12


def test_which_weights_are_projected():
    """With a large δ all matrices are, by rows: a step is then at right angles to every row. With 0 none is."""
    for delta, level in ((10.0, True), (0.0, False)):
        params, grads = problem([(4, 6), (6,)], steps=1)
        live = start(params)
        after = follow(piste.AdamP(live, delta=delta), live, grads)
        along = ((after[0] - params[0]) * params[0]).sum(1)
        assert bool((along.abs() < 1e-8).all()) == level
        assert abs(float((after[1] - params[1]) @ params[1])) > 1e-6


def test_uncorrected_and_unrestored_forms_are_their_textbooks():
    assert ends(piste.Grams, grams.reference, correct_bias=False) < 1e-12
    shapes = orthogradadamw.CASE["shapes"]
    assert ends(piste.OrthogradAdamW, orthogradadamw.reference, shapes, restore=False) < 1e-12
    assert (
        ends(piste.OrthogradSGD, orthogradsgd.reference, shapes, restore=False, momentum=0.9, nesterov=True)
        < 1e-12
    )


def test_restored_gradients_are_as_long_as_they_were():
    params, grads = problem([(4, 6)], steps=1)
    live = start(params)
    after = follow(piste.OrthogradSGD(live, lr=1.0), live, grads)
    step = params[0] - after[0]
    assert math.isclose(float(step.norm()), float(grads[0][0].norm()), rel_tol=1e-12)
    assert abs(float((step * params[0]).sum())) < 1e-12


@pytest.mark.parametrize(("first", "late"), [(3, 0), (200, 3)])
def test_the_memory_of_anolog_grows(first, late):
    """After so many gradients of one sign it takes so many of the other until the direction turns with the next."""
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    opt, moved = piste.Anolog([p], lr=1.0), []
    for g in [1.0] * first + [-1.0] * (late + 1):
        before = p.detach().clone()
        p.grad = torch.tensor([g], dtype=torch.float64)
        opt.step()
        moved.append(float(p.detach() - before))
    assert all(d < 0 for d in moved[:-1]) and moved[-1] > 0


def test_without_momentum_ano_is_its_textbook():
    assert ends(piste.Ano, ano.reference, betas=(0.0, 0.99)) < 1e-12


def test_gravity_draws_its_first_velocity_once_and_by_the_rate():
    size, lr, alpha = (200, 200), 0.1, 0.01
    p = torch.nn.Parameter(torch.zeros(size, dtype=torch.float64))
    opt, at = piste.Gravity([p], lr=lr, alpha=alpha), []
    for _ in range(3):
        p.grad = torch.zeros_like(p)
        opt.step()
        at.append(p.detach().clone())
    hats = [(0.9 * t + 1) / (t + 2) for t in (1, 2, 3)]
    assert math.isclose(float(at[0].std()), hats[0] * alpha, rel_tol=0.02)
    assert abs(float(at[0].mean())) < 1e-4
    assert distance([at[1] - at[0]], [hats[1] * at[0]]) < 1e-12
    assert distance([at[2] - at[1]], [hats[2] * hats[1] * at[0]]) < 1e-12


def test_gravity_at_a_rate_of_0_draws_nothing():
    live = start(problem([(3, 2)], 1)[0])
    opt = piste.Gravity(live, lr=0.0)
    follow(opt, live, problem([(3, 2)], 1)[1])
    assert torch.isfinite(opt.state[live[0]]["velocity"]).all()


def test_naggs_moves_its_scale_towards_mu():
    live = start(problem([(3, 2)], 1)[0])
    opt = piste.NAGGS(live, lr=0.5, mu=2.0, gamma=8.0)
    follow(opt, live, problem([(3, 2)], 3)[1])
    assert math.isclose(float(opt.state[live[0]]["gamma"]), 2 + 6 / 1.5**3, rel_tol=1e-12)


def test_naggs_without_strong_convexity_is_defined():
    params, grads = problem([(3, 2)], 3)
    live = start(params)
    end = follow(piste.NAGGS(live, mu=0.0), live, grads)
    assert torch.isfinite(end[0]).all() and not torch.equal(end[0], params[0])


def test_the_last_gradient_may_be_the_guess():
    assert (
        ends(piste.OptimisticAMSGrad, optimisticamsgrad.reference, span=0, weight_decay=0.1, lr=0.01) < 1e-12
    )


def test_a_sequence_that_approaches_its_limit_linearly_is_extrapolated_to_it():
    """A = limit + Mᵗ b with M of rank 3: exact from 4 differences on, but for the damping."""
    random = torch.Generator().manual_seed(0)
    limit, b = (torch.randn(3, 1, generator=random, dtype=torch.float64) for _ in range(2))
    rates = torch.tensor([[0.9], [0.5], [-0.7]], dtype=torch.float64)
    p = torch.nn.Parameter(torch.zeros(3, 1, dtype=torch.float64))

    @piste.optimizer
    def GuessedSGD(lr=1.0, span=4):
        return chain(extrapolate_gradients(int(span), 1e-14), descend(lr))

    opt = GuessedSGD([p])
    for t in range(6):
        before = p.detach().clone()
        p.grad = limit + rates**t * b
        opt.step()
    assert distance([before - p.detach()], [limit]) < 1e-5
    assert distance([p.grad], [limit]) > 0.1


def test_lookahead_shows_its_slow_weights():
    params, grads = problem(SHAPES, steps=13)
    live = start(params)
    opt = piste.LookaheadAdamW(live)
    follow(opt, live, grads)
    with opt.averaged():
        shown = [p.detach().clone() for p in live]
    assert distance(shown, lookaheadadamw.reference_eval(params, grads)) < 1e-12


def test_signed_magnitude_goes_one_way_as_far_as_another():
    params, grads = problem([(4, 5)], steps=6)
    which, far = chain(scale_by_lion(0.9, 0.99)), chain(scale_by_adam(0.9, 0.99, 1e-8))

    @piste.optimizer
    def Composed(lr=0.1):
        return chain(piste.transforms.signed_magnitude(which, far), descend(lr))

    @piste.optimizer
    def Which(lr=0.1):
        return chain(which, descend(lr))

    @piste.optimizer
    def Far(lr=0.1):
        return chain(far, descend(lr))

    steps = []
    for factory in (Composed, Which, Far):
        live = start(params)
        opt = factory(live)
        points = [params[0], *(follow(opt, live, [row])[0] for row in grads)]
        steps.append([b - a for a, b in itertools.pairwise(points)])
    for both, way, size in zip(*steps, strict=True):
        assert torch.equal(both.sign(), way.sign())
        assert distance([both.abs()], [size.abs()]) < 1e-12


def test_the_probe_shows_the_cosine_of_descent_and_weights():
    p = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    opt = WatchedSGD([p], lr=0.0)
    opt.metrics(on=True)
    for g, cosine in (([-3.0, -4.0], 1.0), ([4.0, -3.0], 0.0), ([0.0, 2.0], -0.8), ([0.0, 0.0], 0.0)):
        p.grad = torch.tensor(g, dtype=torch.float64)
        opt.step()
        (shown,) = opt.metrics()["probes"]["outward"].values()
        assert math.isclose(shown, cosine, abs_tol=1e-12)


def test_stablemax_is_its_formula_and_differentiable_at_0():
    z = torch.tensor([[-3.0, 0.0, 2.0, 50.0]], dtype=torch.float64, requires_grad=True)
    size = torch.tensor([[1 / 4, 1.0, 3.0, 51.0]], dtype=torch.float64)
    assert distance([stablemax(z).detach()], [size / size.sum()]) < 1e-15
    assert distance([stablemax(z).detach().sum(-1)], [torch.ones(1, dtype=torch.float64)]) < 1e-15
    assert torch.autograd.gradcheck(lambda x: log_stablemax(x), (z + 0.1,))
    (slope,) = torch.autograd.grad(log_stablemax(z)[0, 1], z)
    assert math.isclose(float(slope[0, 1]), 1 - 1 / float(size.sum()), rel_tol=1e-12)


def test_its_cross_entropy_reduces_as_asked():
    z, y = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    each = stablemax_cross_entropy(z, y, "none")
    assert distance([each], [-stablemax(z).log()[torch.arange(6), y]]) < 1e-14
    assert torch.equal(stablemax_cross_entropy(z, y), each.mean())
    assert torch.equal(stablemax_cross_entropy(z, y, "sum"), each.sum())
    assert stablemax_cross_entropy(z.half(), y).dtype == torch.float32
    with pytest.raises(ValueError, match="reduction"):
        stablemax_cross_entropy(z, y, "average")
    with pytest.raises(ValueError, match="labels"):
        stablemax_cross_entropy(z, y[:3])


def test_the_share_of_collapsed_samples_depends_on_the_precision():
    z = torch.tensor([[0.0, 5.0], [0.0, 10.0], [0.0, 20.0], [0.0, 40.0]], dtype=torch.float64)
    for dtype, share in ((torch.float16, 0.75), (torch.float32, 0.5), (torch.float64, 0.25)):
        assert softmax_collapse(z, dtype) == share
    assert softmax_collapse(z) == 0.25
