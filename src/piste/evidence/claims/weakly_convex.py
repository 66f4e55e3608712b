"""Models in the place of tangents: proximal points and prox-linear steps on weakly convex functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ... import closure
from ..._registry import get
from ..claim import at_least, at_most, claim, equal
from .wrong import scaled, told

MODELS = "Stochastic model-based minimization of weakly convex functions"


class Phases(nn.Module):
    """Residuals ⟨aᵢ, x⟩² - bᵢ of a vector x° of unit length, a tenth of them spoiled."""

    def __init__(self, seed: int, rows: int = 40, size: int = 4, spoiled: float = 0.1) -> None:
        super().__init__()
        self.random = torch.Generator().manual_seed(seed)
        self.a = torch.nn.functional.normalize(self.normal(rows, size)) * 2
        self.truth = torch.nn.functional.normalize(self.normal(size), dim=0)
        bad = torch.arange(rows) < spoiled * rows
        self.b = torch.where(bad, 4 * self.normal(rows).square(), (self.a @ self.truth).square())
        self.x = torch.nn.Parameter(2 * torch.nn.functional.normalize(self.normal(size), dim=0))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random, dtype=torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        return (self.a[rows] @ self.x).square() - self.b[rows]

    @property
    def weak(self) -> float:
        """2 λ_max(AᵀA/n)."""
        return 2 * float(torch.linalg.eigvalsh(self.a.mT @ self.a / len(self.a))[-1])

    def loss(self, x: Tensor) -> Tensor:
        """f at each of the points [..., d]."""
        return ((x @ self.a.mT).square() - self.b).abs().mean(-1)

    def slope(self, x: Tensor) -> Tensor:
        z = x @ self.a.mT
        return 2 * ((z.square() - self.b).sign() * z) @ self.a / len(self.a)

    def envelope_gradients(self, x: Tensor, steps: int = 400) -> Tensor:
        """ρ̄ ‖x - prox(x)‖ at each of the points, ρ̄ = 2 weak: the proximal point by the subgradient method."""
        rho = 2 * self.weak
        y, mean = x, x
        for t in range(1, steps + 1):
            y = y - 2 / (self.weak * (t + 1)) * (self.slope(y) + rho * (y - x))
            mean = mean + 2 / (t + 1) * (y - mean)
        return rho * (x - mean).norm(dim=-1)


def wandered(method: Any, net: Phases, steps: int, lr: float, seed: int, batch: int = 1) -> Tensor:
    """The points of a run on rows drawn at random."""
    opt, random, points = method([net.x], lr=lr), torch.Generator().manual_seed(seed + 50), []
    for _ in range(steps):
        points.append(net.x.detach().clone())
        rows = torch.randint(len(net.a), (batch,), generator=random)
        opt.step(closure(net, [rows], net, residuals=True))
    return torch.stack([*points, net.x.detach().clone()])


def by_subgradients(params: Any, lr: float, **_: Any) -> Any:
    """Prox-linear's step replaced by that of the tangent."""
    return Absolute(params, get("SGD", "optimizer").target(params, lr=lr))


class Absolute:
    """An optimizer of mean |r| that is handed closures of residuals."""

    def __init__(self, params: Any, opt: Any) -> None:
        self.params, self.opt = list(params), opt

    def step(self, of: Any) -> None:
        def plain() -> Tensor:
            self.opt.zero_grad()
            with torch.enable_grad():
                loss = torch.cat([of.residual(batch) for batch in of.batches]).abs().mean()
                loss.backward()
            return loss.detach()

        self.opt.step(plain)


def by_proximal_points(params: Any, lr: float, **hyper: Any) -> Any:
    return Absolute(params, get("StochasticProximalPoint", "optimizer").target(params, lr=lr, **hyper))


@claim(
    "StochasticProxLinear", MODELS, kind="identity", predicts=equal(0.0), tolerance=1e-6,
    wrong=scaled("StochasticProxLinear", 0.9), seeds=3,
)  # fmt: skip
def prox_linear_steps_minimize_their_model(method: Any, seed: int) -> float:
    """A prox-linear step goes to the minimum of 1/n Σ |rᵢ + (Jd)ᵢ| + ‖d‖²/2η.

    The largest relative amount by which one of 2,000 points nearby is better, or the scaled steps 0.9d and 1.1d: phase
    retrieval, batches of 8, 5 steps of η = 0.3.
    """
    net, lr, worst = Phases(seed), 0.3, 0.0
    opt = method([net.x], lr=lr, sweeps=500)
    for t in range(5):
        rows = torch.arange(8 * t, 8 * t + 8)
        x = net.x.detach().clone()
        z, a = net.a[rows] @ x, net.a[rows]
        opt.step(closure(net, [rows], net, residuals=True))
        d = net.x.detach() - x

        def model(d: Tensor, z: Tensor = z, a: Tensor = a, rows: Tensor = rows) -> Tensor:
            flat = (z.square() - net.b[rows] + 2 * z * (d @ a.mT)).abs().mean(-1)
            return flat + d.square().sum(-1) / (2 * lr)

        tries = d + 10.0 ** -(1 + 4 * torch.rand(2000, 1, generator=net.random, dtype=d.dtype)) * net.normal(
            2000, 4
        )
        tries = torch.cat([tries, torch.outer(torch.tensor([0.9, 1.0 / 0.9, 1.1], dtype=d.dtype), d)])
        worst = max(worst, float(1 - model(tries).min() / model(d)))
    return worst


@claim(
    "StochasticProxLinear", MODELS, kind="empirical", predicts=at_most(0.25), tolerance=0.1,
    wrong=scaled("StochasticProxLinear", 1e-3), seeds=10, cost="full",
    scale="phase retrieval of 4 numbers from 40 measurements, a tenth spoiled, single rows, 60 and 960 steps",
)  # fmt: skip
def squared_envelope_gradients_fall_as_the_root_of_steps(method: Any, seed: int) -> float:
    """With 1/η = ρ̄ + √(T+1)/γ the expected squared gradient of the Moreau envelope at a point drawn from T + 1 steps
    falls as T^-½ (its norm as T^-¼).

    That of 960 steps over that of 60, which T^-½ makes ¼; prox-linear steps from a distance of about 2, γ = ½.
    """

    def seen(steps: int) -> float:
        net = Phases(seed)
        lr = 1 / (2 * net.weak + 2 * math.sqrt(steps))
        points = wandered(method, net, steps - 1, lr, seed)
        return float(net.envelope_gradients(points).square().mean())

    return seen(960) / seen(60)


def width(method: Any, seed: int, steps: int = 80) -> float:
    """Over how many decades of rates ±x° is nearer than 0.1 at the end, without spoiled measurements."""
    grid, good = [10.0 ** (k / 3) for k in range(-9, 10)], 0
    for lr in grid:
        net = Phases(seed, spoiled=0.0)
        end = wandered(method, net, steps, lr, seed)[-1]
        good += min(float((end - net.truth).norm()), float((end + net.truth).norm())) < 0.1
    return good / 3


@claim(
    "StochasticProxLinear", MODELS, kind="empirical", predicts=at_least(1.0), tolerance=0.0, wrong=by_subgradients,
    seeds=3, cost="full", scale="phase retrieval of 4 numbers from 40 rows, one at a time, 80 steps, rates 1e-3 to 1e3",
)  # fmt: skip
def prox_linear_bears_a_wide_range_of_rates(method: Any, seed: int) -> float:
    """Steps of a model that keeps the kinks of the loss work for a much wider range of rates than those of its tangent.

    By how many decades of rates more ±x° is nearer than 0.1 at the end than with subgradients.
    """
    return width(method, seed) - width(by_subgradients, seed)


@claim(
    "StochasticProximalPoint", MODELS, kind="theorem", predicts=at_most(1.0), tolerance=0.0,
    wrong=told("StochasticProximalPoint", inner_steps=0), seeds=3,
)  # fmt: skip
def inner_subgradients_find_the_proximal_point(method: Any, seed: int) -> float:
    """The proximal point of a sharp weakly convex function is found by the subgradient method on its 1/η - ρ strongly
    convex problem, with an error of O(G/(1/η - ρ)√J).

    The distance of the step's end from the exact proximal point of |⟨a, x⟩² - b|, the best of four points by formula,
    over G η/(1 - 2η‖a‖²) · 2/√J, G = 2‖a‖² max(‖x‖, 1), the largest of 8 rows; η = 0.05, ‖a‖ = 2, J = 400.
    """
    worst = 0.0
    for row in range(8):
        net, lr = Phases(seed), 0.05
        x, a, b = net.x.detach().clone(), net.a[row], net.b[row]
        exact = exact_point(x, a, float(b), lr)
        opt = method([net.x], **{"lr": lr, "inner_steps": 400})
        Absolute([net.x], opt).step(closure(net, [torch.tensor([row])], net, residuals=True))
        steep = 2 * float(a.square().sum()) * max(1.0, float(x.norm()))
        bound = steep * lr / (1 - 2 * lr * float(a.square().sum())) * 2 / 20
        worst = max(worst, float((net.x.detach() - exact).norm()) / bound)
    return worst


def exact_point(x: Tensor, a: Tensor, b: float, lr: float) -> Tensor:
    along, size = float(a @ x), float(a @ a)
    ends = [2 * lr * along / (2 * lr * size + s) for s in (1.0, -1.0)]
    ends += [(along + s * math.sqrt(b)) / size for s in (1.0, -1.0)]
    cost: Callable[[float], float] = lambda t: abs((along - t * size) ** 2 - b) + t * t * size / (2 * lr)  # noqa: E731
    return x - min(ends, key=cost) * a


@claim(
    "StochasticProximalPoint", MODELS, kind="empirical", predicts=at_least(0.3), tolerance=0.0, wrong=by_subgradients,
    subject=by_proximal_points, seeds=5, cost="full",
    scale="phase retrieval of 4 numbers from 40 measurements, single rows, 80 steps, rates 1e-3 to 1e3, 10 inner steps",
)  # fmt: skip
def proximal_points_bear_a_wide_range_of_rates(method: Any, seed: int) -> float:
    """Stochastic proximal points work for a wider range of rates than subgradients.

    By how many decades of rates more ±x° is nearer than 0.1 at the end, of 10 inner steps each.
    """
    return width(method, seed) - width(by_subgradients, seed)
