"""Preconditioned methods that one number steers: Polyak's step, an energy, an induced metric; factors; precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, between, claim, equal
from ..problem import Problem, descend
from ..problems import quadratic
from .identities import noise, walk
from .wrong import instead, scaled, told

PSPS = "Stochastic Gradient Descent with Preconditioned Polyak Step-size"
AEGD = "AEGD: Adaptive Gradient Descent with Energy"
AEPG = "Adaptive Preconditioned Gradient Descent with Energy"
INDUCED = "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric"
SCALED = "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing"
PRECISION = "Training Neural Networks in Single vs Double Precision"


def _scaled_columns(seed: int) -> Problem:
    """Least squares that fits exactly, with columns of scales 1 to 1/30."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(60, 8, generator=random, dtype=torch.float64) * torch.logspace(
        0, -1.5, 8, dtype=torch.float64
    )
    target = torch.randn(8, generator=random, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return (a @ (x - target)).square().mean() / 2

    return Problem("scaled columns", loss, torch.zeros(8, dtype=torch.float64), 0.0, target)


def _with_loss(
    p: Problem, method: Any, steps: int, **hyper: Any
) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """The points of a run with a closure, and the optimizer's state after each step."""
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], **hyper)

    def closure() -> Tensor:
        opt.zero_grad()
        loss = p.loss(x)
        loss.backward()
        return loss.detach()

    points, states = [x.detach().clone()], []
    for _ in range(steps):
        opt.step(closure)
        points.append(x.detach().clone())
        states.append({k: v.clone() if isinstance(v, Tensor) else v for k, v in opt.state[x].items()})
    return points, states


@claim(
    "PSPS",
    PSPS,
    kind="theorem",
    predicts=equal(0.25),
    tolerance=1e-6,
    wrong=scaled("PSPS", 0.5),
    seeds=3,
)
def psps_does_not_see_scales(method: Any, seed: int) -> float:
    """In the metric of the Hessian's diagonal Polyak's step halves the distance on every axis, whatever its scale.

    The ratio of losses, the one farthest from 1/4 of 10 steps, on a quadratic along the axes with curvatures 1 to 1e4.
    """
    p = quadratic((1e4, 300.0, 10.0, 1.0), seed, rotated=False)
    losses = descend(p, method, 10, lr=1.0, alpha=0.5).losses
    ratios = [after / before for before, after in itertools.pairwise(losses)]
    return max(ratios, key=lambda r: abs(r - 0.25))


@claim(
    "PSPS",
    PSPS,
    kind="empirical",
    predicts=at_most(0.1),
    tolerance=0.0,
    wrong=told("PSPS", alpha=0.999),
    seeds=4,
    scale="least squares with 60 rows and 8 columns of scales 1 to 1/30, 100 steps on the full batch, α = 1e-4",
)
def preconditioning_helps_polyak_on_badly_scaled_data(method: Any, seed: int) -> float:
    """On badly scaled data the preconditioned Polyak step converges much faster than the plain one.

    The last loss over that of w ← w - (f / ‖g‖²) g.
    """
    p = _scaled_columns(seed)
    x = p.start.clone()
    for _ in range(100):
        g = p.gradient(x)
        x = x - p.loss(x) / g.square().sum() * g
    return descend(p, method, 100, alpha=1e-4).losses[-1] / float(p.loss(x)) if method else math.inf


@claim(
    "PSPSL2",
    PSPS,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-5,
    wrong=told("PSPSL2", penalty=1.0),
    seeds=3,
)
def the_slack_step_solves_its_problem(method: Any, seed: int) -> float:
    """PSPS with a squared slack goes to the minimizer of ½‖w - w_t‖²_B + ½ (s - s_t)² + ½λs² where the linear model of
    the loss is at most s.

    The largest violation of its optimality: the step is B⁻¹ times a multiple γ of the gradient with γ = (1+λ)s - s_t
    and f - γ gᵀB⁻¹g = s; 10 steps on a quadratic along the axes whose least value is 1, λ = 0.2.
    """
    values = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    base = quadratic(tuple(values.tolist()), seed, rotated=False)
    p = Problem("raised", lambda x: base.loss(x) + 1.0, base.start, 1.0, base.minimizer)
    points, states = _with_loss(p, method, 10, alpha=0.5, penalty=0.2)
    slack, worst = 0.0, 0.0
    for before, after, state in zip(points, points[1:], states, strict=False):
        g, s = p.gradient(before), float(state["slack"])
        gamma = float((before - after).norm() / (g / values).norm())
        linear = float(p.loss(before)) - gamma * float((g / values) @ g)
        worst = max(worst, abs(1.2 * s - slack - gamma), abs(linear - s))
        slack = s
    return worst


@claim(
    "PSPSL1",
    PSPS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("PSPS", max_step=1e6),
    seeds=3,
)
def the_slack_bounds_the_step(method: Any, seed: int) -> float:
    """With a slack the step stays short where the loss cannot vanish: γ ≤ (f + λ) / (1 + gᵀB⁻¹g), while Polyak's own
    grows without bound as the gradient does.

    The largest ratio of γ to that bound over 30 steps, on a quadratic along the axes whose least value is 1.
    """
    values = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    base = quadratic(tuple(values.tolist()), seed, rotated=False)
    p = Problem("raised", lambda x: base.loss(x) + 1.0, base.start, 1.0, base.minimizer)
    points, _ = _with_loss(p, method, 30, lr=1.0)
    worst = 0.0
    for before, after in itertools.pairwise(points):
        g = p.gradient(before)
        scaled_g = g / values
        gamma = float((before - after).norm() / scaled_g.norm())
        worst = max(worst, gamma * (1 + float(g @ scaled_g)) / (float(p.loss(before)) + 0.01))
    return worst


def _adam_metric(gradients: list[Tensor], beta2: float, eps: float) -> Tensor:
    t = len(gradients)
    weights = [beta2 ** (t - 1 - i) for i in range(t)]
    v = sum(w * g.square() for w, g in zip(weights, gradients, strict=True)) / sum(weights)
    return v.sqrt() + eps  # type: ignore[union-attr]


def _adagrad_metric(gradients: list[Tensor]) -> Tensor:
    return torch.stack(gradients).square().sum(0).sqrt() + 1e-10


def _lands_on_the_model(method: Any, seed: int, metric: Callable[[list[Tensor]], Tensor]) -> float:
    p = _scaled_columns(seed)
    points, _ = _with_loss(p, method, 10)
    gradients: list[Tensor] = []
    worst = 0.0
    for before, after in itertools.pairwise(points):
        gradients.append(p.gradient(before))
        g, move = gradients[-1], after - before
        model = float(p.loss(before)) + float(g @ move)
        along = metric(gradients) * move
        aside = along - (along @ g) / (g @ g) * g  # what no shortest step has
        worst = max(worst, abs(model) / float(p.loss(before)), float(aside.norm() / along.norm()))
    return worst


@claim(
    "PSPSAdam",
    PSPS,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("PSPSAdam", beta2=0.5),
    seeds=3,
)
def the_step_is_the_shortest_in_adams_metric(method: Any, seed: int) -> float:
    """The step is the shortest in the metric of Adam's second moment on which the linear model of the loss vanishes.

    The larger of |model| / f and the part of B Δw that is not along the gradient, over 10 steps of least squares.
    """
    return _lands_on_the_model(method, seed, lambda gs: _adam_metric(gs, 0.999, 1e-8))


@claim(
    "PSPSAdaGrad",
    PSPS,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=scaled("PSPSAdaGrad", 0.9),
    seeds=3,
)
def the_step_is_the_shortest_in_adagrads_metric(method: Any, seed: int) -> float:
    """The step is the shortest in the metric of AdaGrad's sums on which the linear model of the loss vanishes.

    The larger of |model| / f and the part of B Δw that is not along the gradient, over 10 steps of least squares.
    """

    def at_one(params: Any, **hyper: Any) -> Any:
        return method(params, lr=1.0, **hyper)

    return _lands_on_the_model(at_one, seed, _adagrad_metric)


@claim(
    "AEGD",
    AEGD,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def the_path_is_finite_at_any_rate(method: Any, seed: int) -> float:
    """Whatever the rate, the squared steps of AEGD add up to at most η n (f(w₀) + c): it is unconditionally stable.

    The largest ratio of the sum to the bound over rates 0.1, 1, 10 and 1000, 100 steps on a quadratic with curvature up
    to 10.
    """
    p, worst = quadratic((10.0, 1.0, 0.1), seed), 0.0
    for rate in (0.1, 1.0, 10.0, 1000.0):
        points = descend(p, method, 100, lr=rate).points
        path = sum(float((a - b).square().sum()) for a, b in itertools.pairwise(points))
        worst = max(worst, path / (rate * 3 * (float(p.loss(p.start)) + 1)))
    return worst if math.isfinite(worst) else math.inf


@claim(
    "AEGD",
    AEGD,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-12,
    wrong=told("AEGD", lr=-1e-3),
    seeds=3,
)
def the_energy_falls_at_any_rate(method: Any, seed: int) -> float:
    """The energy of every weight falls at every step, for any rate.

    The largest ratio of an energy to the one before over rates 0.1, 10 and 1000, 50 steps on a quadratic.
    """
    p, worst = quadratic((10.0, 1.0, 0.1), seed), 0.0
    for rate in (0.1, 10.0, 1000.0):
        first = torch.full((3,), math.sqrt(float(p.loss(p.start)) + 1), dtype=torch.float64)
        _, states = _with_loss(p, method, 50, lr=rate)
        energies = [first, *(s["energy"] for s in states)]
        worst = max(worst, *(float((b / a).max()) for a, b in itertools.pairwise(energies)))
    return worst


@claim(
    "AEPG",
    AEPG,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def the_preconditioned_path_is_finite_at_any_rate(method: Any, seed: int) -> float:
    """Whatever the rate, the steps of AEPG, squared in the preconditioner's metric, add up to at most η (f(w₀) + c).

    The largest ratio of the sum to the bound over rates 0.1, 1, 10 and 1000, 60 steps on a quadratic with curvature up
    to 10; the metric is Adam's.
    """
    p, worst = quadratic((10.0, 1.0, 0.1), seed), 0.0
    for rate in (0.1, 1.0, 10.0, 1000.0):
        points = descend(p, method, 60, lr=rate).points
        gradients, path = [p.gradient(w) for w in points[:-1]], 0.0
        for t, (a, b) in enumerate(itertools.pairwise(points)):
            path += float((_adam_metric(gradients[: t + 1], 0.999, 1e-8) * (a - b).square()).sum())
        worst = max(worst, path / (rate * (float(p.loss(p.start)) + 1)))
    return worst if math.isfinite(worst) else math.inf


@claim(
    "AEPG",
    AEPG,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("AEPG", c=2.0),
    seeds=3,
)
def the_energy_follows_the_root_of_the_loss(method: Any, seed: int) -> float:
    """The energy changes as the linear model of √(f + c) along the step: r_{n+1} - r_n = ∇lᵀ(w_{n+1} - w_n).

    The largest difference over 20 steps on a quadratic, relative to r₀, with c = 1.
    """
    p = quadratic((10.0, 1.0, 0.1), seed)
    points, states = _with_loss(p, method, 20, lr=0.5, c=1.0)
    first = last = math.sqrt(float(p.loss(p.start)) + 1)
    worst = 0.0
    for before, after, state in zip(points, points[1:], states, strict=False):
        slope = p.gradient(before) / (2 * math.sqrt(float(p.loss(before)) + 1))
        worst = max(worst, abs(float(state["energy"]) - last - float(slope @ (after - before))) / first)
        last = float(state["energy"])
    return worst


@claim(
    "InducedMetricSGD",
    INDUCED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def the_induced_metric_clips(method: Any, seed: int) -> float:
    """The step in the induced metric is at most η / 2√ξ long, however steep the surface: smooth clipping.

    The longest step over that bound without averages, on gradients of 5 weights with sizes from 1e-3 to 1e3.
    """
    make, rate, xi = noise(seed, 5), 0.1, 0.1
    hyper: dict[str, Any] = {} if method.__name__ == "SGD" else {"momentum": 0.0, "beta": 0.0, "xi": xi}
    start = torch.zeros(5, dtype=torch.float64)
    points = walk(method, start, lambda t, w: make(t, w) * 10.0 ** (t % 7 - 3), 70, lr=rate, **hyper)
    longest = max(float((a - b).norm()) for a, b in itertools.pairwise(points))
    return longest / (rate / (2 * math.sqrt(xi)))


def _metric_step(points: list[Tensor], rate: float, want: Callable[[int], Tensor]) -> float:
    moves = [(a - b) / rate for a, b in itertools.pairwise(points)]
    return max(float((u - want(t)).norm() / want(t).norm()) for t, u in enumerate(moves))


@claim(
    "InducedMetricSGD",
    INDUCED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("InducedMetricSGD", xi=0.2),
    seeds=3,
)
def the_step_is_the_gradient_in_the_induced_metric(method: Any, seed: int) -> float:
    """The step is the inverse of the surface's metric, I + ξ ggᵀ, times the gradient.

    The largest relative difference from the dense inverse without averages, over 10 random gradients of 6 weights.
    """
    make, eye = noise(seed, 6), torch.eye(6, dtype=torch.float64)
    start = torch.zeros(6, dtype=torch.float64)
    points = walk(method, start, make, 10, lr=0.1, momentum=0.0, beta=0.0, xi=0.5)

    def want(t: int) -> Tensor:
        g = make(t, start)
        return torch.linalg.solve(eye + 0.5 * torch.outer(g, g), g)

    return _metric_step(points, 0.1, want)


@claim(
    "InducedMetricRMS",
    INDUCED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("InducedMetricRMS", xi=0.2),
    seeds=3,
)
def the_induced_metric_goes_around_a_preconditioner(method: Any, seed: int) -> float:
    """Around a preconditioner P the step is (P + ξ ggᵀ)⁻¹ g, here with RMSProp's P.

    The largest relative difference from the dense inverse without averages but P's, over 10 random gradients of 6
    weights.
    """
    make, start = noise(seed, 6), torch.zeros(6, dtype=torch.float64)
    points = walk(method, start, make, 10, lr=0.1, momentum=0.0, beta=0.0, xi=0.5, beta_rms=0.9)

    def want(t: int) -> Tensor:
        gs = [make(s, start) for s in range(t + 1)]
        p = torch.diag(_adam_metric(gs, 0.9, 1e-8))
        return torch.linalg.solve(p + 0.5 * torch.outer(gs[-1], gs[-1]), gs[-1])

    return _metric_step(points, 0.1, want)


@claim(
    "InducedMetricRMS",
    INDUCED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("Adam"),
    seeds=3,
)
def the_preconditioned_step_is_clipped_too(method: Any, seed: int) -> float:
    """In P's metric the step is at most η / 2√ξ long, whatever the number of weights.

    The longest step, measured by the root of ΔwᵀPΔw, over that bound; 100 weights, 30 random gradients, ξ = 1.
    """
    make, start = noise(seed, 100), torch.zeros(100, dtype=torch.float64)
    hyper: dict[str, Any] = (
        {} if method.__name__ == "Adam" else {"momentum": 0.0, "beta": 0.0, "xi": 1.0, "beta_rms": 0.9}
    )
    points = walk(method, start, make, 30, lr=0.1, **hyper)
    longest = 0.0
    for t, (a, b) in enumerate(itertools.pairwise(points)):
        p = _adam_metric([make(s, start) for s in range(t + 1)], 0.9, 1e-8)
        longest = max(longest, float((p * (a - b).square()).sum().sqrt()))
    return longest / (0.1 / 2)


@claim(
    "InducedMetricLogSGD",
    INDUCED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("InducedMetricLogSGD", xi=0.2),
    seeds=3,
)
def the_log_step_is_the_gradient_of_the_logarithm(method: Any, seed: int) -> float:
    """The step is the gradient of log f in the metric of the surface (w, √ξ log f).

    The largest relative difference from (I + ξ ∇log f ∇log fᵀ)⁻¹ ∇log f without averages, over 10 steps on a quadratic.
    """
    p, eye = quadratic((1.0, 0.3, 0.1), seed), torch.eye(3, dtype=torch.float64)
    points = descend(p, method, 10, lr=0.1, momentum=0.0, beta=0.0, xi=0.5).points

    def want(t: int) -> Tensor:
        g = p.gradient(points[t]) / p.loss(points[t])
        return torch.linalg.solve(eye + 0.5 * torch.outer(g, g), g)

    return _metric_step(points, 0.1, want)


@claim(
    "InducedMetricLogSGD",
    INDUCED,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=instead("InducedMetricSGD", momentum=0.0, beta=0.0, xi=0.5),
    seeds=3,
)
def the_log_step_does_not_see_the_losss_unit(method: Any, seed: int) -> float:
    """The path does not change when the loss is multiplied by a number: an effective schedule that needs no rate anew.

    The largest distance between the paths on f and on 100 f, over 20 steps on a quadratic.
    """
    p = quadratic((1.0, 0.3, 0.1), seed)
    larger = Problem("larger", lambda x: 100 * p.loss(x), p.start)
    hyper: dict[str, Any] = (
        {"momentum": 0.0, "beta": 0.0, "xi": 0.5} if method.__name__ == "InducedMetricLogSGD" else {}
    )
    paths = [descend(f, method, 20, lr=0.1, **hyper).points for f in (p, larger)]
    return max(float((a - b).abs().max()) for a, b in zip(*paths, strict=True))


def _factorization(condition: float, seed: int) -> tuple[Problem, float]:
    """¼ ‖XXᵀ - M‖² of M of rank 2, X with 5 columns, from a small random start; and M's size."""
    random = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(20, 2, generator=random, dtype=torch.float64))[0]
    target = u @ torch.diag(torch.tensor([1.0, 1 / condition], dtype=torch.float64)) @ u.mT
    start = 1e-4 * torch.randn(20, 5, generator=random, dtype=torch.float64)
    loss = lambda x: (x @ x.mT - target).square().sum() / 4  # noqa: E731
    return Problem("factorization", loss, start, 0.0), float(target.norm())


def _until(method: Any, condition: float, seed: int, **hyper: Any) -> int:
    """Steps until ‖XXᵀ - M‖ ≤ 1e-2 σ_min(M), at most 3000."""
    p, _ = _factorization(condition, seed)
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], **hyper)
    for t in range(3000):
        x.grad = p.gradient(x)
        if math.sqrt(4 * float(p.loss(x))) <= 1e-2 / condition:
            return t
        opt.step()
    return 3000


@claim(
    "ScaledGD",
    SCALED,
    kind="empirical",
    predicts=at_most(math.log(100) / math.log(2)),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
    scale="rank 2 and 5 columns, 20 × 20, exact factorization from a start of size 1e-4, η = 0.3, λ = σ_min / 100",
)
def scaled_gradients_feel_the_condition_by_its_logarithm(method: Any, seed: int) -> float:
    """With more columns than the true rank, ScaledGD(λ) needs steps that grow as the logarithm of the condition number.

    Steps at condition 100 over those at condition 2, which that allows to be log 100 / log 2; gradient descent's grow
    as the condition number.
    """

    def steps(condition: float) -> int:
        more = {"damp": 0.01 / condition} if method.__name__ == "ScaledGD" else {}
        return _until(method, condition, seed, lr=0.3, **more)

    return steps(100.0) / steps(2.0)


@claim(
    "ScaledGD",
    SCALED,
    kind="theorem",
    predicts=at_most(0.9),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
)
def scaled_gradients_converge_at_a_constant_rate(method: Any, seed: int) -> float:
    """Near the solution the error falls by a constant factor each step, whatever the condition number.

    The mean factor on ‖XXᵀ - M‖ over 20 steps from near a factor of M with condition number 1e3, λ = 1e-9 and η = 0.3;
    gradient descent's would be 1 - O(η/κ).
    """
    random = torch.Generator().manual_seed(seed)
    true = torch.linalg.qr(torch.randn(20, 3, generator=random, dtype=torch.float64))[0]
    true = true @ torch.diag(torch.tensor([1.0, 0.1, 1e-3], dtype=torch.float64).sqrt())
    target, start = true @ true.mT, true + 1e-3 * torch.randn(20, 3, generator=random, dtype=torch.float64)
    p = Problem("factorization", lambda x: (x @ x.mT - target).square().sum() / 4, start, 0.0)
    more: dict[str, Any] = {"damp": 1e-9} if method.__name__ == "ScaledGD" else {}
    losses = descend(p, method, 20, lr=0.3, **more).losses
    return (losses[-1] / losses[0]) ** (0.5 / 20)


def _gain(method: Any, seed: int, steps: int, **hyper: Any) -> float:
    """The last loss in float32 over that in float64, of a tanh network whose least loss is known to be 0."""
    last = {}
    for dtype in (torch.float32, torch.float64):
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(40, 3, generator=random, dtype=torch.float64).to(dtype)
        true = [torch.randn(s, generator=random, dtype=torch.float64) for s in ((3, 4), (4, 1))]
        begin = [w + 0.1 * torch.randn(w.shape, generator=random, dtype=torch.float64) for w in true]
        y = (x @ true[0].to(dtype)).tanh() @ true[1].to(dtype)
        ws = [torch.nn.Parameter(w.to(dtype)) for w in begin]
        opt = method(ws, **hyper)

        def closure(opt: Any = opt, ws: Any = ws, x: Tensor = x, y: Tensor = y) -> Tensor:
            opt.zero_grad()
            loss = ((x @ ws[0]).tanh() @ ws[1] - y).square().mean()
            loss.backward()
            return loss.detach()

        for _ in range(steps):
            opt.step(closure)
        last[dtype] = float(closure().double())
    return max(last[torch.float32], 1e-300) / max(last[torch.float64], 1e-300)


def _tight(method: Any) -> dict[str, float]:
    name = method.__name__
    return {"tolerance_grad": 0.0, "tolerance_change": 0.0} if name == "NonlinearCG" else {"lr": 1e-3}


@claim(
    "NonlinearCG",
    PRECISION,
    kind="empirical",
    predicts=at_least(100.0),
    tolerance=0.0,
    wrong=instead("RMSProp"),
    seeds=3,
    scale="a tanh network with 16 weights, 40 rows, fitted exactly by known weights from near them; 150 steps",
)
def conjugate_gradients_gain_from_double_precision(method: Any, seed: int) -> float:
    """Once the line search stalls in single precision, conjugate gradients go on in double precision.

    The last loss in float32 over that in float64, where the least is 0.
    """
    return _gain(method, seed, 150, **_tight(method))


@claim(
    "RMSProp",
    PRECISION,
    kind="empirical",
    predicts=between(0.5, 2.0),
    tolerance=0.0,
    wrong=get("NonlinearCG", "optimizer").target,
    seeds=3,
    scale="a tanh network with 16 weights, 40 rows, fitted exactly by known weights from near them; 300 steps, lr 1e-3",
)
def rmsprop_gains_nothing_from_double_precision(method: Any, seed: int) -> float:
    """RMSprop gains nothing from double precision.

    The last loss in float32 over that in float64, where the least is 0.
    """
    return _gain(method, seed, 300 if method.__name__ == "RMSProp" else 150, **_tight(method))


@claim(
    "NonlinearCG",
    "Note sur la convergence de méthodes de directions conjuguées",
    kind="theorem",
    predicts=at_most(1e-6),
    tolerance=0.0,
    wrong=instead("LBFGS", history_size=1, c2=0.9),
    seeds=3,
)
def conjugate_gradients_end_after_as_many_steps_as_weights(method: Any, seed: int) -> float:
    """On a quadratic of n weights conjugate gradients with an exact search are at the minimum after n steps.

    The loss after 5 steps over that at the start, 5 weights with curvatures 1 to 100; the search is nearly exact (c₂ =
    1e-9).
    """
    p = quadratic((100.0, 30.0, 10.0, 3.0, 1.0), seed)
    more: dict[str, Any] = {"c2": 1e-9, "c1": 1e-10, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    losses = descend(p, method, 5, lr=0.01, **(more if method.__name__ == "NonlinearCG" else {})).losses
    return losses[-1] / losses[0]
