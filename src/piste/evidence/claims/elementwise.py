"""What methods do to every number by itself: decay, bounds on steps, maxima."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, between, claim, equal
from .identities import farthest, noise, walk
from .papers import ADAM, FREE, LAMB, RMSPROP, SAM
from .wrong import instead, scaled, told

DECOUPLED = "Decoupled Weight Decay Regularization"


def _decayed_in_the_gradient(params: Any, lr: float, weight_decay: float = 0.0, **hyper: Any) -> Any:
    """Adam with its decay added to the gradient, as L2 regularization has it."""
    return torch.optim.Adam(params, lr=lr, weight_decay=weight_decay, **hyper)


@claim(
    "AdamW",
    DECOUPLED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=_decayed_in_the_gradient,
    seeds=2,
)
def adamws_decay_does_not_see_gradients(method: Any, seed: int) -> float:
    """AdamW shrinks every weight by the same share ηλ in every step, however large its gradients; L2 regularization
    shrinks those of large gradients less.

    Two runs of 60 steps on the same gradients, of sizes 1e-3 to 1e3: what is left of the difference of their
    starts, over (1 - ηλ)^t; the largest distance from 1.
    """
    size = torch.logspace(-3, 3, 20, dtype=torch.float64)
    draw, rate, decay = noise(seed, 20), 0.01, 0.5
    ways = [
        walk(method, start, lambda t, w: size * draw(t, w), 60, lr=rate, weight_decay=decay)
        for start in (torch.zeros_like(size), torch.ones_like(size))
    ]
    left = [(b - a) / (1 - rate * decay) ** t for t, (a, b) in enumerate(zip(*ways, strict=True))]
    return farthest(left, [torch.ones_like(size)] * len(left))


@claim(
    "AdamW",
    DECOUPLED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("AdamW", 1.5),
    seeds=3,
)
def adamws_decay_is_a_quadratic_around_zero(method: Any, seed: int) -> float:
    """Where gradients vanish, weight decay is gradient descent on λ/2 ‖w‖²: the norm falls as (1 - ηλ)^t, no slower.

    The largest ratio of ‖w_t‖ and ‖w_0‖ (1 - ηλ)^t, and of its inverse, over 80 steps of gradients that are zero.
    """
    start = noise(seed, 15)(0, torch.empty(0))
    points = walk(method, start, lambda t, w: torch.zeros_like(w), 80, lr=0.1, weight_decay=0.3)
    ratios = [float(x.norm() / start.norm()) / (1 - 0.03) ** t for t, x in enumerate(points)]
    return max(*ratios, *(1 / r for r in ratios))


@claim(
    "RMSProp", RMSPROP, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=instead("SGD"), seeds=3
)
def rmsprops_steps_are_bounded(method: Any, seed: int) -> float:
    """Dividing by the root of a running average of squares bounds the step: |Δ| ≤ η/√(1-α), reached by a gradient that
    comes alone.

    The largest |Δ| √(1-α) / η over 200 steps of gradients whose sizes span six decades; α = 0.9.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        g = noise(seed, 2, 20)(t, w)
        return g[0] * 10 ** (3 * g[1])

    points = walk(method, torch.zeros(20, dtype=torch.float64), draw, 200, lr=0.01, alpha=0.9)
    return max(float((b - a).abs().max()) for a, b in itertools.pairwise(points)) * math.sqrt(0.1) / 0.01


@claim(
    "RMSProp",
    RMSPROP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("RMSProp", alpha=0.9),
    seeds=2,
)
def rmsprop_without_memory_uses_signs_only(method: Any, seed: int) -> float:
    """RMSProp is the mini-batch version of using the sign of the gradient: with α = 0 it is that.

    The largest difference from -η sign(g) over 20 steps, ε = 1e-30.
    """
    draw = noise(seed, 30)
    points = walk(method, torch.zeros(30, dtype=torch.float64), draw, 20, lr=0.1, alpha=0.0, eps=1e-30)
    steps = [b - a for a, b in itertools.pairwise(points)]
    return farthest(steps, [-0.1 * draw(t, points[0]).sign() for t in range(20)])


@claim(
    "AdaMax",
    ADAM,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("AdaMax", betas=(0.9, 0.9)),
    seeds=2,
)
def adamax_divides_by_a_fading_maximum(method: Any, seed: int) -> float:
    """The limit of Adam's ℓ_p generalization for p → ∞: u_t = max over s ≤ t of β₂^(t-s) |g_s|.

    The largest relative difference of η m̂_t/u_t, both written out as sums and maxima over all gradients, and the step,
    over 40 steps.
    """
    draw, beta1, beta2, rate = noise(seed, 20), 0.9, 0.99, 0.01
    start = torch.zeros(20, dtype=torch.float64)
    points = walk(method, start, draw, 40, lr=rate, betas=(beta1, beta2), eps=1e-30)
    seen, worst = [], 0.0
    for t, (a, b) in enumerate(itertools.pairwise(points)):
        seen.append(draw(t, start))
        ages = torch.arange(t, -1, -1, dtype=torch.float64).unsqueeze(1)
        g = torch.stack(seen)
        largest = (beta2**ages * g.abs()).amax(0)
        mean = (1 - beta1) * (beta1**ages * g).sum(0) / (1 - beta1 ** (t + 1))
        worst = max(worst, float(((b - a) / rate + mean / largest).abs().max()))
    return worst


@claim("LAMB", LAMB, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("SGD"), seeds=2)
def lamb_does_not_see_the_scale_of_a_layer(method: Any, seed: int) -> float:
    """With weights c times as large and gradients a c-th as large (a function of w/c) a layer goes c times as far.

    The largest difference of two runs of 30 steps, one with c = 100, over c; no decay, ε = 1e-30.
    """
    draw, c = noise(seed, 6, 5), 100.0
    start = draw(999, torch.empty(0))
    hyper = {"lr": 0.02} if method.__name__ == "SGD" else {"lr": 0.02, "weight_decay": 0.0, "eps": 1e-30}
    one = walk(method, start, draw, 30, **hyper)
    other = walk(method, c * start, lambda t, w: draw(t, w) / c, 30, **hyper)
    return farthest(one, [x / c for x in other])


@claim(
    "ScheduleFreeAdamW",
    FREE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=told("ScheduleFreeAdamW", betas=(0.9, 0.9)),
    seeds=2,
)
def schedule_free_adamw_averages_adams_path_without_momentum(method: Any, seed: int) -> float:
    """The answer x_T of schedule-free AdamW is at a constant rate the mean of z_1 … z_T, where z goes Adam's way
    without its momentum, z ← z - η g/(√v̂ + ε); interpolation with β₁ takes the momentum's place.

    The difference after 40 steps on given gradients, v̂ written out as a sum; β₂ = 0.99, no decay, no warm-up.
    """
    start, draw, rate, beta = torch.zeros(12, dtype=torch.float64), noise(seed, 12), 0.1, 0.99
    w = torch.nn.Parameter(start.clone())
    opt = method([w], lr=rate, betas=(0.9, beta), eps=1e-8, weight_decay=0.0)
    z, v, total = start, torch.zeros_like(start), torch.zeros_like(start)
    for t in range(1, 41):
        w.grad = draw(t, w)
        opt.step()
        v = beta * v + (1 - beta) * w.grad.square()
        z = z - rate * w.grad / ((v / (1 - beta**t)).sqrt() + 1e-8)
        total = total + z
    with opt.averaged():
        return float((w.detach() - total / 40).abs().max())


def valley(w: Tensor) -> Tensor:
    """Rosenbrock's function."""
    return (1 - w[0]).square() + 100 * (w[1] - w[0].square()).square()


@claim(
    "SAMAdamW",
    SAM,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=told("SAMAdamW", rho=0.0),
    seeds=2,
)
def samadamw_is_adamw_on_the_gradient_uphill(method: Any, seed: int) -> float:
    """Any base optimizer can take SAM's gradient ∇f(w + ρ g/‖g‖), g = ∇f(w): here AdamW.

    The largest difference from torch's AdamW handed these gradients, over 20 steps on Rosenbrock's function.
    """
    start = torch.randn(2, dtype=torch.float64)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    hyper: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.9, 0.999), "eps": 1e-8}
    opt, other, worst = method([ours], rho=0.05, **hyper), torch.optim.AdamW([theirs], **hyper), 0.0

    def slope(w: Tensor) -> Tensor:
        w = w.detach().clone().requires_grad_()
        return torch.autograd.grad(valley(w), w)[0]

    def closure() -> Tensor:
        opt.zero_grad()
        loss = valley(ours)
        loss.backward()
        return loss.detach()

    for _ in range(20):
        opt.step(closure)
        g = slope(theirs)
        theirs.grad = slope(theirs.detach() + 0.05 * g / g.norm())
        other.step()
        worst = max(worst, float((ours.detach() - theirs.detach()).abs().max()))
    return worst


@claim(
    "SAMAdamW",
    SAM,
    kind="theorem",
    predicts=between(1.95, 2.05),
    tolerance=0.0,
    wrong=told("SAMAdamW", rho=1.0),
    seeds=3,
)
def samadamw_departs_from_adamw_in_proportion_to_its_radius(method: Any, seed: int) -> float:
    """As ρ goes to 0, SAM goes over into its base optimizer, its gradient being ∇f(w) + ρ ∇²f(w) g/‖g‖ + O(ρ²).

    How far 10 steps on Rosenbrock's function end from AdamW's with ρ = 2e-5, over how far with ρ = 1e-5.
    """
    random = torch.Generator().manual_seed(seed)
    start = torch.randn(2, generator=random, dtype=torch.float64)

    def end(rho: float) -> Tensor:
        w = torch.nn.Parameter(start.clone())
        opt = method([w], lr=0.01, rho=rho)

        def closure() -> Tensor:
            opt.zero_grad()
            loss = valley(w)
            loss.backward()
            return loss.detach()

        for _ in range(10):
            opt.step(closure)
        return w.detach()

    plain = end(0.0)
    far, near = (float((end(rho) - plain).norm()) for rho in (2e-5, 1e-5))
    return far / max(near, 1e-300)
