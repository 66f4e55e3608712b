"""Two things that papers say are one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._transform import Chain, chain
from ...transforms import cautious, graft, scale_by_adam
from ...transforms.decay import descend
from ..claim import at_least, between, claim, equal
from ..methods import of_chain
from .matrices import matrix
from .papers import ADAM, FREE, SAM, SHAMPOO, SOAP
from .wrong import instead, told

PERSPECTIVE = "A New Perspective on Shampoo's Preconditioner"
CAUTIOUS = "Cautious Optimizers: Improving Training with One Line of Code"
GRAFTING = "Disentangling Adaptive Gradient Methods from Learning Rates"


def walk(
    method: Any, start: Tensor, gradient: Callable[[int, Tensor], Tensor], steps: int, **hyper: Any
) -> list[Tensor]:
    """The points of a run on given gradients."""
    w = torch.nn.Parameter(start.clone())
    opt, points = method([w], **hyper), [start]
    for t in range(steps):
        w.grad = gradient(t, w.detach())
        opt.step()
        points.append(w.detach().clone())
    return points


def noise(seed: int, *shape: int) -> Callable[[int, Tensor], Tensor]:
    """Gradients that depend on the step alone."""
    return lambda t, _: torch.randn(
        shape, generator=torch.Generator().manual_seed(1000 * seed + t), dtype=torch.float64
    )


def farthest(a: list[Tensor], b: list[Tensor]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


@claim(
    "ScheduleFreeSGD",
    FREE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=told("ScheduleFreeSGD", r=2.0),
    seeds=2,
)
def schedule_free_averages_its_own_base_points(method: Any, seed: int) -> float:
    """At a constant rate the averaged point x_T is the plain mean of the base points z_1 … z_T of SGD.

    The difference after 40 steps on given gradients, where z is SGD's path.
    """
    start, draw = torch.zeros(12, dtype=torch.float64), noise(seed, 12)
    w = torch.nn.Parameter(start.clone())
    opt = method([w], lr=0.1)
    for t in range(40):
        w.grad = draw(t, w)
        opt.step()
    base = [start]
    for t in range(40):
        base.append(base[-1] - 0.1 * draw(t, start))
    with opt.averaged():
        return float((w.detach() - torch.stack(base[1:]).mean(0)).abs().max())


@claim(
    "Shampoo",
    PERSPECTIVE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=instead("SGD"),
    seeds=2,
)
def shampoos_factor_is_one_step_of_power_iteration(method: Any, seed: int) -> float:
    """Shampoo's L = Σ GGᵀ is, up to scale, one step of power iteration from the identity towards the best Kronecker
    approximation L ⊗ R of Σ vec(G) vec(G)ᵀ.

    The largest difference of both over their traces after 8 gradients, ε = 0; the method's L is read from its state.
    """
    m, n, gradients = 5, 7, [matrix(97 * seed + i, 5, 7) for i in range(8)]
    w = torch.nn.Parameter(torch.zeros(m, n, dtype=torch.float64))
    opt = method([w], lr=0.1, eps=1e-300)
    for g in gradients:
        w.grad = g
        opt.step()
    seen = opt.state[w].get("L")
    if seen is None:
        return 1.0  # a method that keeps no such factor
    whole = sum(
        torch.einsum("ij,kl->ikjl", g, g) for g in gradients
    )  # rows: (i, k) of L, columns: (j, l) of R
    step = whole.reshape(m * m, n * n) @ torch.eye(n, dtype=torch.float64).reshape(-1)  # type: ignore[union-attr]
    step = step.reshape(m, m)
    return float((seen / seen.trace() - step / step.trace()).abs().max())


@claim("SAM", SAM, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=told("SAM", rho=0.0), seeds=2)
def sam_takes_the_gradient_uphill(method: Any, seed: int) -> float:
    """SAM's step is -η ∇f(w + ρ g/‖g‖) with g = ∇f(w).

    The largest difference over 10 steps on Rosenbrock's function.
    """

    def slope(x: Tensor) -> Tensor:
        x = x.detach().clone().requires_grad_()
        (g,) = torch.autograd.grad((1 - x[0]).square() + 100 * (x[1] - x[0].square()).square(), x)
        return g

    w = torch.nn.Parameter(torch.randn(2, dtype=torch.float64))
    opt, worst = method([w], lr=1e-4, momentum=0.0, rho=0.05), 0.0

    def closure() -> Tensor:
        opt.zero_grad()
        loss = (1 - w[0]).square() + 100 * (w[1] - w[0].square()).square()
        loss.backward()
        return loss.detach()

    for _ in range(10):
        before = w.detach().clone()
        opt.step(closure)
        g = slope(before)
        worst = max(
            worst, float((w.detach() - before + 1e-4 * slope(before + 0.05 * g / g.norm())).abs().max())
        )
    return worst


def _cautious_adam(lr: float) -> Chain:
    return chain(scale_by_adam(0.9, 0.999, 1e-8), cautious(), descend(lr))


def _adam(lr: float) -> Chain:
    return chain(scale_by_adam(0.9, 0.999, 1e-8), descend(lr))


@claim(
    "cautious",
    CAUTIOUS,
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=0.0,
    wrong=of_chain(_adam),
    seeds=3,
    subject=of_chain(_cautious_adam),
)
def cautious_steps_never_go_uphill(method: Any, seed: int) -> float:
    """Masked where it disagrees with the gradient, no coordinate of the step points uphill: -Δ ⊙ g ≥ 0.

    The least entry of -Δ ⊙ g over 60 steps of random gradients (Adam's own has negative ones).
    """
    draw = noise(seed, 30)
    points = walk(method, torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.1)
    return min(float(((points[t] - points[t + 1]) * draw(t, points[t])).min()) for t in range(60))


def _grafted(lr: float) -> Chain:
    return chain(graft(chain(), chain(scale_by_adam(0.9, 0.999, 1e-8))), descend(lr))


@claim(
    "graft",
    GRAFTING,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=of_chain(_adam),
    seeds=2,
    subject=of_chain(_grafted),
)
def grafted_steps_have_the_length_of_the_other(method: Any, seed: int) -> float:
    """SGD's length grafted on Adam's direction: ‖Δ‖ = η ‖g‖ in every step.

    The largest relative difference over 30 steps of gradients of random size.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 6, 5)(t, w) * 10 ** (t % 5 - 2)

    points = walk(method, torch.zeros(6, 5, dtype=torch.float64), draw, 30, lr=0.1)
    lengths = [
        float((points[t + 1] - points[t]).norm() / (0.1 * draw(t, points[t]).norm())) for t in range(30)
    ]
    return max(abs(x - 1) for x in lengths)


def _off_turned(method: Any, seed: int, m: int, n: int, **hyper: Any) -> float:
    """The largest difference of two runs of 25 steps, on gradients and on U gradient Vᵀ, the latter turned back."""
    u, v = (torch.linalg.qr(matrix(seed + k, s, s))[0] for k, s in ((31, m), (32, n)))
    draw, start = noise(seed, m, n), torch.zeros(m, n, dtype=torch.float64)
    plain = walk(method, start, draw, 25, **hyper)
    turned = walk(method, start, lambda t, w: u @ draw(t, w) @ v.mT, 25, **hyper)
    return farthest(plain, [u.mT @ x @ v for x in turned])


@claim("SOAP", SOAP, kind="identity", predicts=equal(0.0), tolerance=1e-8, wrong=instead("AdamW"), seeds=2)
def soap_does_not_see_turned_axes(method: Any, seed: int) -> float:
    """Turning the rows and the columns of all gradients turns SOAP's path with them.

    The largest difference of two runs of 25 steps, U gradient Vᵀ against gradient, turned back. 7 × 7: where a
    statistic is singular the basis of its null space is nobody's choice.
    """
    return _off_turned(method, seed, 7, 7, lr=0.01, weight_decay=0.0, eps=1e-12)


@claim(
    "Shampoo",
    SHAMPOO,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=instead("Adam"),
    seeds=2,
)
def shampoo_does_not_see_turned_axes(method: Any, seed: int) -> float:
    """Turning the rows and the columns of all gradients turns Shampoo's path with them.

    The largest difference of two runs of 25 steps, U gradient Vᵀ against gradient, turned back.
    """
    return _off_turned(method, seed, 6, 9, lr=0.01)


@claim(
    "AdaMax", ADAM, kind="theorem", predicts=between(0.0, 1.0), tolerance=1e-12, wrong=instead("SGD"), seeds=3
)
def adamax_moves_no_further_than_its_rate(method: Any, seed: int) -> float:
    """AdaMax has |Δ_t| ≤ η in every coordinate and step.

    The largest |Δ| / η over 200 steps of gradients with rare large entries.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        g = noise(seed, 20)(t, w)
        return g * torch.where(g.abs() > 2, 100.0, 1.0)

    points = walk(method, torch.zeros(20, dtype=torch.float64), draw, 200, lr=0.01)
    return max(float((b - a).abs().max()) for a, b in itertools.pairwise(points)) / 0.01


@claim(
    "AMSGrad",
    "On the Convergence of Adam and Beyond",
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=0.0,
    wrong=instead("Adam"),
    seeds=3,
)
def amsgrads_scale_never_shrinks(method: Any, seed: int) -> float:
    """The second moment that AMSGrad divides by never falls.

    The least change of its largest second moments over 60 steps of gradients that shrink; Adam's stands in where a
    method keeps no largest one.
    """
    w = torch.nn.Parameter(torch.zeros(10, dtype=torch.float64))
    opt, draw, seen = method([w], lr=0.01), noise(seed, 10), []
    for t in range(60):
        w.grad = draw(t, w) * 0.9**t
        opt.step()
        slots = opt.state[w]
        seen.append(slots.get("max_exp_avg_sq", slots.get("exp_avg_sq")).clone())
    return min(float((b - a).min()) for a, b in itertools.pairwise(seen))
