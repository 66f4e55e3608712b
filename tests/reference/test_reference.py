"""The textbook loops against torch.optim where it has the method, else against what the paper implies."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reference import (
    adam,
    adamax,
    amsgrad,
    averaging,
    cautious,
    clipping,
    grafting,
    lamb,
    lion,
    lookahead,
    muon,
    schedulefreeadamw,
    schedulefreesgd,
    sgd,
    shampoo,
    soap,
)

STEPS = 12
SHAPES = [(6, 6), (6, 4), (3, 7), (5,)]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


PARAMS = [normal(*shape, seed=i) for i, shape in enumerate(SHAPES)]
GRADS = [[normal(*shape, seed=100 * t + i) for i, shape in enumerate(SHAPES)] for t in range(1, STEPS + 1)]


def close(left: list[Tensor], right: list[Tensor], atol: float = 1e-13) -> None:
    for a, b in zip(left, right):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=0, atol=atol)


def run(
    make: Callable[[list[Tensor]], torch.optim.Optimizer], before: Callable | None = None
) -> list[Tensor]:
    weights = [p.clone().requires_grad_() for p in PARAMS]
    optimizer = make(weights)
    for step in GRADS:
        for w, g in zip(weights, step):
            w.grad = g.clone()
        if before is not None:
            before(weights)
        optimizer.step()
    return weights


TORCH = [
    ("sgd", torch.optim.SGD, {}, {}),
    ("sgd", torch.optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, {}),
    ("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, {}),
    ("adam", torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}, {}),
    ("adamw", torch.optim.AdamW, {"weight_decay": 0.1, "eps": 1e-3}, {}),
    ("amsgrad", torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-3}, {"amsgrad": True}),
    ("adamax", torch.optim.Adamax, {"weight_decay": 0.1, "eps": 1e-2}, {}),
    ("rmsprop", torch.optim.RMSprop, {"alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}, {}),
    ("rmsprop", torch.optim.RMSprop, {"alpha": 0.9, "centered": True}, {}),
    ("adagrad", torch.optim.Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3}, {}),
]


@pytest.mark.parametrize("name, cls, hyper, extra", TORCH)
def test_agrees_with_torch(name, cls, hyper, extra):
    reference = importlib.import_module(f"reference.{name}").reference
    before = [p.clone() for p in PARAMS]
    close(reference(PARAMS, GRADS, lr=0.1, **hyper), run(lambda w: cls(w, lr=0.1, **hyper, **extra)))
    close(PARAMS, before, atol=0)


def test_papers_forms_differ_from_torchs_only_where_stated():
    close(adam.reference(PARAMS, GRADS, eps=0.0), adam.reference(PARAMS, GRADS, eps=0.0, eps_hat=True))
    close(adamax.reference(PARAMS, GRADS, eps=0.0), adamax.reference(PARAMS, GRADS, form="paper"))
    zero = [[torch.zeros_like(g) for g in step] for step in GRADS]
    close(adamax.reference(PARAMS, zero, form="paper"), PARAMS, atol=0)
    constant = [GRADS[0]] * STEPS
    plain = adam.reference(PARAMS, constant, lr=1.0, eps=0.0, eps_hat=True)
    close(amsgrad.reference(PARAMS, constant, lr=1.0, eps=0.0), plain, atol=1e-12)
    moved = amsgrad.reference(PARAMS, constant, lr=1.0, eps=0.0, form="paper")
    by_hand = sum((1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in range(1, STEPS + 1))
    close(moved, [p - by_hand * g.sign() for p, g in zip(PARAMS, GRADS[0])], atol=1e-10)


def test_lion_by_hand():
    m = 0.01 * GRADS[0][0]
    w = PARAMS[0] * 0.99 - 0.1 * GRADS[0][0].sign()
    w = w * 0.99 - 0.1 * (0.9 * m + 0.1 * GRADS[1][0]).sign()
    close(lion.reference(PARAMS[:1], GRADS[:2], lr=0.1, weight_decay=0.1), [w])


def test_muon_steps_have_the_band_and_the_scale():
    matrices = [torch.zeros(6, 6), torch.zeros(24, 6), torch.zeros(6, 24), torch.zeros(4, 3, 3, 2)]
    grads = [[normal(*w.shape, seed=9 + i) for i, w in enumerate(matrices)]]
    wide = [w.double() for w in matrices]
    for conv_scale, scales in (("authors", (1, 2, 1, 1.5**0.5)), ("view", (1, 2, 1, 1))):
        moved = muon.reference(wide, grads, lr=1.0, conv_scale=conv_scale)
        for w, scale in zip(moved, scales):
            s = torch.linalg.svdvals(w.flatten(1)) / scale
            assert s.max() < 1.21
            assert s.min() > 0.2


def test_muon_agrees_with_torch_in_bfloat16():
    torch_muon = getattr(torch.optim, "Muon", None)
    if torch_muon is None:
        pytest.skip("this torch has no Muon")
    weights = [p.clone().requires_grad_() for p in PARAMS[:3]]
    optimizer = torch_muon(weights, lr=0.1, weight_decay=0.1)
    for step in GRADS:
        for w, g in zip(weights, step):
            w.grad = g.clone()
        optimizer.step()
    ours = muon.reference(PARAMS[:3], [g[:3] for g in GRADS], 0.1, weight_decay=0.1, dtype=torch.bfloat16)
    close(ours, weights, atol=0.05)


def test_shampoo_is_the_kronecker_preconditioner():
    """One step by the definition: vec(step) = (L ⊗ R)^(-1/4) vec(G), an eigendecomposition of the product."""
    g = GRADS[0][1]
    left, right = (h + 0.1 * torch.eye(len(h), dtype=h.dtype) for h in (g @ g.T, g.T @ g))
    values, vectors = torch.linalg.eigh(torch.kron(left, right))
    expected = (vectors @ (values**-0.25 * (vectors.T @ g.flatten()))).reshape(6, 4)
    moved = shampoo.reference([PARAMS[1]], [[g]], lr=1.0, eps=0.1)
    close(moved, [PARAMS[1] - expected], atol=1e-11)


def test_shampoo_options():
    scalar = [torch.zeros(1, dtype=torch.float64)]
    grads = [[torch.full((1,), 2.0, dtype=torch.float64)]] * 3
    close(
        shampoo.reference(scalar, grads, 1.0, eps=0.0), [scalar[0] - sum(1 / math.sqrt(t) for t in (1, 2, 3))]
    )
    stale = shampoo.reference(scalar, grads, 1.0, eps=0.0, precondition_frequency=3)
    close(stale, [scalar[0] - 3])
    averaged = shampoo.reference(scalar, grads, 1.0, eps=0.0, beta=0.5)
    close(averaged, [scalar[0] - sum(1 / math.sqrt(1 - 0.5**t) for t in (1, 2, 3))])
    heavy = shampoo.reference(scalar, grads[:2], 1.0, eps=0.0, momentum=0.5, momentum_on="update")
    close(heavy, [scalar[0] - 1 - (0.5 + 1 / math.sqrt(2))])


def test_soap_without_bases_is_adam_with_a_skipped_step():
    hyper = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-3}
    plain = adam.reference(PARAMS, GRADS[1:], eps_hat=True, **hyper)
    close(soap.reference(PARAMS, GRADS, weight_decay=0.0, max_precond_dim=0, **hyper), plain)


@pytest.mark.parametrize("frequency", [1, 3])
def test_soap_is_equivariant_under_rotation(frequency):
    """Its bases turn with the problem, so the path does: true of no coordinate-wise method."""
    q, r = (torch.linalg.qr(normal(6, 6, seed=s))[0] for s in (77, 78))
    square = [PARAMS[0]], [[step[0]] for step in GRADS]
    turned = [q @ PARAMS[0] @ r], [[q @ step[0] @ r] for step in GRADS]
    hyper = {"lr": 0.1, "precondition_frequency": frequency}
    close(soap.reference(*turned, **hyper), [q @ soap.reference(*square, **hyper)[0] @ r], atol=1e-10)


def test_schedule_free_average_is_the_mean_of_the_path():
    """With gradients that ignore the point, z is plain SGD and x its equal-weight mean."""
    lr = 0.1
    points = [PARAMS[0]]
    for step in GRADS:
        points.append(points[-1] - lr * step[0])
    x = schedulefreesgd.reference_eval(PARAMS, GRADS, lr=lr)[0]
    mean = torch.stack(points[1:]).mean(0)
    torch.testing.assert_close(x, mean, rtol=0, atol=1e-12)
    y = schedulefreesgd.reference(PARAMS, GRADS, lr=lr, momentum=0.9)[0]
    torch.testing.assert_close(y, 0.9 * mean + 0.1 * points[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("module", [schedulefreesgd, schedulefreeadamw])
def test_schedule_free_at_rate_zero_moves_nothing(module):
    hyper = {"lr": 0.0, "weight_decay": 0.1, "warmup_steps": 3, "r": 1.0}
    close(module.reference(PARAMS, GRADS, **hyper), PARAMS, atol=1e-15)
    close(module.reference_eval(PARAMS, GRADS, **hyper), PARAMS, atol=1e-15)


def test_schedule_free_adamw_forms_agree_once_the_correction_is_gone():
    hyper = {"lr": 0.1, "betas": (0.9, 0.0), "weight_decay": 0.1, "warmup_steps": 4}
    code = schedulefreeadamw.reference(PARAMS, GRADS, **hyper)
    close(code, schedulefreeadamw.reference(PARAMS, GRADS, form="paper", **hyper))


def test_lamb_steps_have_the_size_of_the_weights():
    moved = lamb.reference(PARAMS, GRADS[:1], lr=0.1, weight_decay=0.1)
    for before, after in zip(PARAMS, moved):
        torch.testing.assert_close((after - before).norm(), 0.1 * before.norm(), rtol=1e-12, atol=0)
    capped = lamb.reference(PARAMS, GRADS[:1], lr=0.1, phi=(0.0, 0.5))
    for before, after in zip(PARAMS, capped):
        torch.testing.assert_close((after - before).norm().item(), 0.05, rtol=1e-9, atol=0)
    zeros = [torch.zeros_like(p) for p in PARAMS]
    start = lamb.reference(zeros, GRADS[:1], lr=0.1)
    close(start, adam.reference(zeros, GRADS[:1], lr=0.1, eps=1e-6), atol=1e-12)


def test_clipping_agrees_with_torch():
    def by_norm(weights: list[Tensor]) -> None:
        torch.nn.utils.clip_grad_norm_(weights, 0.5)

    def by_value(weights: list[Tensor]) -> None:
        torch.nn.utils.clip_grad_value_(weights, 0.5)

    def make(weights: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(weights, lr=0.1)

    close(clipping.reference(PARAMS, GRADS, 0.1, max_norm=0.5, delta=1e-6), run(make, by_norm))
    close(clipping.reference(PARAMS, GRADS, 0.1, clip_value=0.5), run(make, by_value))


def test_unit_clipping_bounds_every_row_and_leaves_short_ones_alone():
    w, g = PARAMS[:1], [GRADS[0][0] * torch.logspace(-4, 1, 6).unsqueeze(1)]
    clipped = clipping.by_unit(w, g, 0.1)[0]
    bound = 0.1 * w[0].norm(dim=1)
    was, now = g[0].norm(dim=1), clipped.norm(dim=1)
    torch.testing.assert_close(now, torch.minimum(was, bound), rtol=1e-12, atol=0)
    assert torch.equal(clipped[was < bound], g[0][was < bound])
    fresh = clipping.by_unit([torch.zeros(6, 6)], g, 0.1)[0].norm(dim=1)
    assert fresh.max() <= 0.1 * 1e-3 * (1 + 1e-6)


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_averages_agree_with_torch(kind):
    swa_utils = torch.optim.swa_utils
    model = torch.nn.ParameterList([p.clone() for p in PARAMS])
    rule = {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)} if kind == "ema" else {}
    averaged = swa_utils.AveragedModel(model, **rule)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in GRADS:
        for w, g in zip(model.parameters(), step):
            w.grad = g.clone()
        optimizer.step()
        averaged.update_parameters(model)
    ours = averaging.reference_ema if kind == "ema" else averaging.reference_swa
    hyper = {"decay": 0.9} if kind == "ema" else {}
    close(ours(PARAMS, GRADS, lr=0.1, **hyper), list(averaged.module.parameters()))


def test_ema_starts():
    still = [[torch.zeros_like(g) for g in step] for step in GRADS]
    for first in ("step", "init", "zero"):
        close(averaging.reference_ema(PARAMS, still, decay=0.9, first=first), PARAMS)
    late = averaging.reference_ema(PARAMS, GRADS, first="zero", start=STEPS)
    close(late, averaging.reference(PARAMS, GRADS), atol=1e-12)


def test_lookahead():
    hyper = {"lr": 0.1, "momentum": 0.9}
    fast = sgd.reference(PARAMS, GRADS, **hyper)
    close(lookahead.reference(PARAMS, GRADS, k=3, alpha=1.0, **hyper), fast)
    close(lookahead.reference(PARAMS, GRADS, k=3, alpha=0.0, **hyper), PARAMS)
    half = lookahead.reference_eval(PARAMS, GRADS, k=STEPS, alpha=0.5, **hyper)
    close(half, [(p + f) / 2 for p, f in zip(PARAMS, fast)])


@pytest.mark.parametrize("over", ["tensor", "tree"])
def test_grafting_takes_size_from_one_and_direction_from_the_other(over):
    size = sgd.reference(PARAMS, GRADS[:1], lr=0.1)
    way = adam.reference(PARAMS, GRADS[:1])
    moved = grafting.reference(PARAMS, GRADS[:1], lr=0.1, over=over)
    sizes, ways, steps = ([b - a for a, b in zip(PARAMS, points)] for points in (size, way, moved))
    for s, d, step in zip(sizes, ways, steps):
        torch.testing.assert_close(torch.cosine_similarity(step.flatten(), d.flatten(), 0).item(), 1.0)
        if over == "tensor":
            torch.testing.assert_close(step.norm(), s.norm(), rtol=1e-12, atol=0)
    total = [torch.cat([x.flatten() for x in xs]).norm() for xs in (steps, sizes)]
    torch.testing.assert_close(*total, rtol=1e-12, atol=0)


def test_cautious():
    u, g = torch.tensor([1.0, -1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 1.0, -1.0])
    torch.testing.assert_close(cautious.masked(u, g, "mean"), torch.tensor([2.0, 0.0, 4.0, 0.0]))
    torch.testing.assert_close(cautious.masked(u, g, "paper"), torch.tensor([4 / 3, 0.0, 8 / 3, 0.0]))
    assert not cautious.masked(-g, g, "mean").any()
    # with β₁ = 0 the update never disagrees with the gradient
    hyper = {"lr": 0.1, "betas": (0.0, 0.99), "eps": 1e-3}
    close(cautious.reference(PARAMS, GRADS, **hyper), adam.reference(PARAMS, GRADS, eps_hat=True, **hyper))
