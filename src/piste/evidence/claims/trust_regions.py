"""Steepest descent and trust regions in other norms: what a step is, and how fast many of them are."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..._transform import Chain, chain
from ...transforms.decay import descend
from ...transforms.momentum import ema
from ...transforms.spectral import orthogonalize_by_polar_express
from ..claim import at_least, at_most, claim, equal
from ..methods import of_chain
from .identities import noise, walk
from .matrices import matrix, step_of
from .norms import KOVALEV, _given
from .papers import OLD_NEW
from .wrong import instead, scaled, told


def double(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


@claim(
    "SignDescent",
    OLD_NEW,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=instead("SGD"),
    seeds=3,
)
def adam_without_averages_has_sign_descents_direction(method: Any, seed: int) -> float:
    """Adam with its averages off is steepest descent in the largest-entry norm, but for the length: that is ‖g‖₁ times
    Adam's.

    The largest difference of the step from η‖g‖₁ times that of Adam with betas of 0, over η‖g‖₁; 30 steps of Gaussian
    gradients of sizes 0.01 to 100, 5 × 4.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 5, 4)(t, w) * 10.0 ** (t % 5 - 2)

    adam = get("Adam", "optimizer").target
    ours = walk(method, double(5, 4), draw, 30, lr=0.01)
    theirs = walk(adam, double(5, 4), draw, 30, lr=1.0, betas=(0.0, 0.0), eps=1e-30)
    worst = 0.0
    for t in range(30):
        length = 0.01 * float(draw(t, ours[t]).abs().sum())
        worst = max(
            worst, float(((ours[t + 1] - ours[t]) / length - (theirs[t + 1] - theirs[t])).abs().max())
        )
    return worst


@claim(
    "RowDescent",
    OLD_NEW,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-12,
    wrong=instead("SGD"),
    seeds=3,
)
def a_row_step_is_the_least_of_its_model(method: Any, seed: int) -> float:
    """The step d of steepest descent is the minimiser of ⟨g, d⟩ + ‖d‖²/2η, whose least value is -η‖g‖_*²/2.

    The model at the step over that value, for ‖d‖ the largest RMS of a row, ‖g‖_* = √n Σ ‖gᵢ‖, 7 × 5, η = 1.
    """
    g = matrix(seed, 7, 5) * torch.logspace(-2, 2, 7, dtype=torch.float64).unsqueeze(1)
    d = -step_of(method, g)
    model = float((g * d).sum()) + 0.5 * float(d.square().mean(1).max())
    return model / (-0.5 * 5 * float(g.norm(dim=1).sum()) ** 2)


@claim(
    "SpectralDescent",
    OLD_NEW,
    kind="theorem",
    predicts=at_least(0.949),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
)
def shampoo_without_sums_goes_where_spectral_descent_does(method: Any, seed: int) -> float:
    """Shampoo with its sums off is steepest descent in the spectral norm: the direction of its first step is that of
    spectral descent.

    The cosine of the two steps for 10 × 10 Gaussian matrices with rows of sizes 1 to 1/3: Muon's quintic, whose
    singular values s lie in [0.65, 1.25] where Shampoo's are 1, keeps it above 2√(0.65 · 1.25)/(0.65 + 1.25).
    """
    g = matrix(seed + 7, 10, 10) + 2 * torch.eye(10, dtype=torch.float64)
    g = g * torch.logspace(0, -0.5, 10, dtype=torch.float64).unsqueeze(1)
    shampoo = step_of(get("Shampoo", "optimizer").target, g, eps=1e-14)
    ours = step_of(_given(method), g)
    return float((ours * shampoo).sum() / (ours.norm() * shampoo.norm()))


@claim(
    "TrustRegionSpectral",
    KOVALEV,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-9,
    wrong=told("TrustRegionSpectral", ns_steps=4),
    seeds=2,
)
def a_spectral_step_goes_to_the_regions_boundary(method: Any, seed: int) -> float:
    """The minimiser of ⟨m, x⟩ in the trust region of the spectral norm is the centre less η times an orthogonal matrix:
    every singular value of the step is η, whatever the gradients were.

    Of all singular values of the steps from (1-ηλ)p, over η, the one farthest from 1; 20 steps of Gaussian gradients of
    sizes 0.01 to 100, 6 × 12, λ = 0.5, μ = 0.9.
    """
    lr, decay, random = 0.02, 0.5, noise(seed, 6, 12)

    def draw(t: int, w: Tensor) -> Tensor:
        return random(t, w) * 10.0 ** (t % 5 - 2)

    points = walk(_given(method), matrix(seed, 6, 12), draw, 20, lr=lr, weight_decay=decay)
    steps = [(1 - lr * decay) * a - b for a, b in itertools.pairwise(points)]
    values = torch.cat([torch.linalg.svdvals(s) for s in steps]) / lr
    return max(values.tolist(), key=lambda s: abs(s - 1))


def _orthogonalized_first(lr: float, momentum: float) -> Chain:
    """Orthogonal-SGDM: the average of orthogonalized gradients."""
    return chain(orthogonalize_by_polar_express(8), ema(momentum), descend(lr))


@claim(
    "TrustRegionSpectral",
    KOVALEV,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=of_chain(_orthogonalized_first),
    seeds=4,
    in_mean=True,
    cost="full",
)
def averaging_goes_before_orthogonalization(method: Any, seed: int) -> float:
    """The averaged gradient, orthogonalized, converges for any noise of E‖ξ‖_F² ≤ σ²: the mean of ‖∇f‖_* over K steps
    is at most Δ/ηK + Lη/2 + 2(‖∇f(x₀)‖_*/αK + Lη/α + √α ρσ), α = 1 - μ and ‖·‖_* ≤ ρ ‖·‖_F. The average of
    orthogonalized gradients (Orthogonal-SGDM) need not.

    The ratio of both sides for f = ½‖W‖_F² of 3 × 3 from W = -Q, Q orthogonal: the noise is Q three times of five and
    -1.5 Q twice, so that between -Q and 0 most orthogonalized gradients point away from 0. α = 10η = 0.015, K = 1,700.
    """
    alpha, lr, steps, n = 0.015, 0.0015, 1700, 3
    random = torch.Generator().manual_seed(seed)
    added = torch.where(torch.rand(steps, generator=random) < 0.4, -1.5, 1.0).double()
    q = torch.linalg.qr(matrix(seed, n, n))[0]
    hyper = {"lr": lr, "momentum": 1 - alpha}
    points = walk(_hidden(method), -q, lambda t, w: w + added[t] * q, steps, **hyper)
    found = float(torch.linalg.svdvals(torch.stack(points[:-1])).sum(-1).mean())
    bound = 0.5 / (lr * steps) + lr / 2 + 2 * (1 / (alpha * steps) + lr / alpha + (alpha * 1.5) ** 0.5)
    return found / (n * bound)


def _hidden(method: Any) -> Any:
    return _given(method) if hasattr(method, "factory") else method


def sheaf(angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h(θ) = 1 + cos(4θ)/2 and its two derivatives: r² h(θ) is star-convex, as it grows as r², and not convex."""
    return 1 + 0.5 * (4 * angle).cos(), -2 * (4 * angle).sin(), -8 * (4 * angle).cos()


@claim(
    "TrustRegionL2",
    KOVALEV,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("TrustRegionL2", 0.1),
    seeds=3,
)
def decay_makes_steps_of_one_length_global_for_star_convex_losses(method: Any, seed: int) -> float:
    """With weight decay λ ≤ 1/‖x*‖ steps of the length η find the minimum of every star-convex loss: f(x_K) - f* ≤ (1 -
    ηλ)^K (f(x₀) - f*) + 2Lη/λ.

    The largest ratio of both sides over K = 0 … 800 on r²(1 + cos(4θ)/2) around a point of length 1, from 0; η =
    0.01, λ = 1, no noise and no momentum. Its Hessian's eigenvalues go from -5 to 9; L is their largest size.
    """
    lr, decay, steps = 0.01, 1.0, 800
    turn = torch.tensor(2 * math.pi * (0.1 + 0.37 * seed), dtype=torch.float64)
    best = torch.stack([turn.cos(), turn.sin()])
    h, first, second = sheaf(torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64))
    hessians = torch.stack([2 * h, first, first, 2 * h + second], -1).view(-1, 2, 2)
    smoothness = float(torch.linalg.eigvalsh(hessians).abs().max())

    def off(w: Tensor) -> tuple[Tensor, Tensor]:
        d = w - best
        return d, torch.atan2(d[1], d[0])

    def slope(_: int, w: Tensor) -> Tensor:
        d, angle = off(w)
        h, first, _second = sheaf(angle)
        return 2 * h * d + first * torch.stack([-d[1], d[0]])

    points = walk(method, double(2), slope, steps, lr=lr, momentum=0.0, weight_decay=decay)
    gaps = [float((d := off(w))[0].square().sum() * sheaf(d[1])[0]) for w in points]
    floor = 2 * smoothness * lr / decay
    return max(gap / ((1 - lr * decay) ** k * gaps[0] + floor) for k, gap in enumerate(gaps))


@claim(
    "TrustRegionSign",
    KOVALEV,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
)
def steps_in_a_box_find_where_the_slopes_sum_vanishes(method: Any, seed: int) -> float:
    """Where f is L-smooth in the largest-entry norm, the mean of ‖∇f‖₁ over K steps of the size η is at most Δ/ηK +
    Lη/2, Δ = f(x₀) - inf f, whatever the size of the gradients.

    The ratio of both sides without noise and momentum on f = c Σⱼ (1 - cos aⱼᵀx), which is not convex: 10 numbers, 20
    vectors aⱼ with |aⱼ|₁ = 1, L = 20c, c = 0.01, K = 400 and the η that is best for the bound.
    """
    c, steps = 0.01, 400
    a = matrix(seed, 20, 10)
    a = a / a.abs().sum(1, keepdim=True)
    start = 5 * matrix(seed + 5, 1, 10)[0]

    def slope(_: int, w: Tensor) -> Tensor:
        return c * (a @ w).sin() @ a

    gap, smoothness = c * float((1 - (a @ start).cos()).sum()), 20 * c
    lr = (2 * gap / (smoothness * steps)) ** 0.5
    points = walk(method, start, slope, steps, lr=lr, momentum=0.0)
    found = sum(float(slope(0, w).abs().sum()) for w in points[:-1]) / steps
    return found / (gap / (lr * steps) + smoothness * lr / 2)
