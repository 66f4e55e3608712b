"""Full-matrix methods on a window of gradients, dense and compressed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, between, claim, equal
from ..problem import descend
from ..problems import logistic, quadratic
from ..problems.quadratics import rotation
from .identities import farthest, noise, walk
from .wrong import instead, scaled, told

MFAC = "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information"
GGT = "Efficient Full-Matrix Adaptive Regularization"
EFCP = "Error Feedback Can Accurately Compress Preconditioners"


def _steps(points: list[Tensor], lr: float) -> list[Tensor]:
    return [(a - b) / lr for a, b in itertools.pairwise(points)]


@claim(
    "MFAC",
    MFAC,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("MFAC", ngrads=4),
    seeds=3,
)
def mfac_is_the_inverse_empirical_fisher(method: Any, seed: int) -> float:
    """A step of M-FAC is F⁻¹g with F = λI + (1/m) Σ ggᵀ over the last m gradients, without F.

    The largest difference from the dense inverse, relative to the step, over 12 steps on random gradients of 20
    weights, m = 5 and λ = 0.1.
    """
    make, m, damp = noise(seed, 20), 5, 0.1
    points = walk(method, torch.zeros(20, dtype=torch.float64), make, 12, lr=1.0, ngrads=m, damp=damp)
    worst, eye = 0.0, torch.eye(20, dtype=torch.float64)
    for t, u in enumerate(_steps(points, 1.0)):
        window = torch.stack([make(s, u) for s in range(max(0, t - m + 1), t + 1)])
        want = torch.linalg.solve(damp * eye + window.mT @ window / m, make(t, u))
        worst = max(worst, float((u - want).norm() / want.norm()))
    return worst


@claim(
    "MFAC",
    MFAC,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("MFAC", momentum=0.9),
    seeds=3,
)
def mfac_swaps_gradients_in_and_out(method: Any, seed: int) -> float:
    """A gradient that has left the window has left no trace: the cheap update of the window is exact.

    The largest difference between steps m + 1 to m + 8 of two runs whose first gradients differ, m = 6, 15 weights.
    """
    same = noise(seed, 15)

    def other(t: int, w: Tensor) -> Tensor:
        return same(t, w) if t else 5 * same(99, w)

    start = torch.zeros(15, dtype=torch.float64)
    runs = [walk(method, start, make, 14, lr=1.0, ngrads=6, damp=0.1) for make in (same, other)]
    return farthest(*(_steps(points, 1.0)[6:] for points in runs))


@claim(
    "GGT",
    GGT,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 30.0),
    seeds=3,
)
def ggts_regret_is_full_matrix_adagrads(method: Any, seed: int) -> float:
    """With a window that holds all gradients GGT's regret on convex losses is full-matrix AdaGrad's, at most
    (D²/2η + η) tr (δI + (Σ ggᵀ)^½), D the largest distance to the comparator.

    Losses ½ (aᵀw - y)² of random a, y against the best w in hindsight; 8 weights, 100 steps, η = 0.5, δ = 0.01.
    """
    n, steps, rate, eps = 8, 100, 0.5, 0.01
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(steps, n, generator=random, dtype=torch.float64)
    y = torch.randn(steps, generator=random, dtype=torch.float64)
    best = torch.linalg.lstsq(a, y.unsqueeze(1)).solution.squeeze(1)
    gradients: list[Tensor] = []

    def slope(t: int, w: Tensor) -> Tensor:
        gradients.append((a[t] @ w - y[t]) * a[t])
        return gradients[-1]

    hyper = {"ngrads": steps, "eps": eps, "betas": (0.0, 1.0)} if method.__name__ == "GGT" else {}
    points = walk(method, torch.zeros(n, dtype=torch.float64), slope, steps, lr=rate, **hyper)
    regret = sum(
        0.5 * float((a[t] @ points[t] - y[t]) ** 2 - (a[t] @ best - y[t]) ** 2) for t in range(steps)
    )
    far = max(float((w - best).norm()) for w in points)
    if not far < 1e6:
        return math.inf
    squares = torch.linalg.eigvalsh(sum(torch.outer(g, g) for g in gradients))
    return regret / ((far**2 / (2 * rate) + rate) * float((squares.clamp(min=0).sqrt() + eps).sum()))


@claim(
    "GGT",
    GGT,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("Adam"),
    seeds=3,
)
def ggt_turns_with_the_axes(method: Any, seed: int) -> float:
    """The full matrix sees no axes: on a rotated problem GGT takes the rotated path, where diagonal methods do not.

    The largest distance between the two paths over 30 steps, on a quadratic with 6 weights and a condition number of
    100, η = 0.05.
    """
    q, p = rotation(6, seed + 7), quadratic((1.0, 0.5, 0.2, 0.1, 0.03, 0.01), seed)
    hyper = {"lr": 0.05, "ngrads": 10, "eps": 0.1} if method is get("GGT").target else {"lr": 0.05}
    straight = walk(method, p.start, lambda t, w: p.gradient(w), 30, **hyper)
    turned = walk(method, q @ p.start, lambda t, w: q @ p.gradient(q.mT @ w), 30, **hyper)
    return farthest([q @ w for w in straight], turned)


@claim(
    "SparseMFAC",
    EFCP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("SparseMFAC", density=0.5),
    seeds=3,
)
def nothing_left_out_is_mfac(method: Any, seed: int) -> float:
    """Compression that keeps everything changes nothing: at density 1 Sparse M-FAC is M-FAC.

    The largest difference of the paths over 15 steps on random gradients of a 4 × 5 matrix, relative to the weights.
    """
    start, hyper = torch.zeros(4, 5, dtype=torch.float64), {"lr": 0.1, "ngrads": 5, "damp": 0.1}
    whole = walk(get("MFAC").target, start, noise(seed, 4, 5), 15, **hyper)
    kept = walk(method, start, noise(seed, 4, 5), 15, density=1.0, **hyper)
    return farthest(whole, kept) / float(whole[-1].abs().max())


@claim(
    "SparseMFAC",
    EFCP,
    kind="identity",
    predicts=at_least(30.0),
    tolerance=0.0,
    wrong=told("SparseMFAC", density=0.2),
    seeds=1,
)
def a_sparse_window_is_small(method: Any, seed: int) -> float:
    """At 99 % sparsity the window takes one to two orders of magnitude less memory.

    Bytes of M-FAC's window, 4 for each weight and gradient, over those of the sparse one, values in bf16 and places in
    int32; a 200 × 300 matrix in float32 and 8 gradients.
    """
    w = torch.nn.Parameter(torch.zeros(200, 300))
    dense = get("MFAC").target([w], ngrads=8).state[w]["window"]
    sparse = method([w], ngrads=8, density=0.01, storage={"values": "bf16"}).state[w]
    return _bytes(dense) / (_bytes(sparse["values"]) + _bytes(sparse["places"]))


def _bytes(t: Tensor) -> int:
    return t.numel() * t.element_size()


def forgetful(name: str) -> Callable[..., Any]:
    """The method without its error feedback: what is left out is lost."""

    def method(params: Any, **hyper: Any) -> Any:
        opt = get(name, "optimizer").target(params, **hyper)

        def forget(opt: Any, *_: Any) -> None:
            for state in opt.state.values():
                state["error"].zero_()

        opt.register_step_pre_hook(forget)
        return opt

    return method


@claim(
    "SparseMFAC",
    EFCP,
    kind="empirical",
    predicts=at_most(1.1),
    tolerance=0.0,
    wrong=forgetful("SparseMFAC"),
    seeds=8,
    cost="full",
    scale="logistic regression with 100 weights, 300 rows and decay 0.01, 150 steps, density 5 %, five rates",
)
def error_feedback_keeps_the_convergence(method: Any, seed: int) -> float:
    """With error feedback M-FAC on gradients of which one entry in twenty is kept converges as on whole ones.

    Ratio of the last losses above the least one, each method at its best rate; the excess of the start counts 1 % on
    both sides, below which nothing is compared.
    """
    p = logistic(300, 100, seed, 0.01)
    hyper: dict[str, Any] = {"ngrads": 10, "damp": 0.1}
    floor = _least(p)
    sparse: dict[str, Any] = {"density": 0.05}
    ours, theirs = (
        min(descend(p, how, 150, lr=lr, **hyper, **more).losses[-1] for lr in (0.01, 0.03, 0.1, 0.3, 1.0))
        for how, more in ((method, sparse), (get("MFAC").target, {}))
    )
    slack = 0.01 * (float(p.loss(p.start)) - floor)
    return (ours - floor + slack) / (theirs - floor + slack)


def _least(p: Any) -> float:
    """By Newton's method."""
    x = p.start.clone()
    for _ in range(12):
        x = x - torch.linalg.solve(torch.autograd.functional.hessian(p.loss, x), p.gradient(x))
    return float(p.loss(x))


@claim(
    "SparseGGT",
    EFCP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("SparseGGT", density=0.5),
    seeds=3,
)
def nothing_left_out_is_ggt(method: Any, seed: int) -> float:
    """Compression that keeps everything changes nothing: at density 1 Sparse GGT is GGT without momentum.

    The largest difference of the paths over 15 steps on random gradients of a 4 × 5 matrix, relative to the weights.
    """
    start, hyper = torch.zeros(4, 5, dtype=torch.float64), {"lr": 0.1, "ngrads": 5, "eps": 0.1}
    whole = walk(get("GGT").target, start, noise(seed, 4, 5), 15, betas=(0.0, 1.0), **hyper)
    kept = walk(method, start, noise(seed, 4, 5), 15, density=1.0, **hyper)
    return farthest(whole, kept) / float(whole[-1].abs().max())


@claim(
    "SparseGGT",
    EFCP,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=forgetful("SparseGGT"),
    seeds=3,
)
def no_gradient_is_lost(method: Any, seed: int) -> float:
    """What has entered the window and what still waits add up to all gradients: Σ c + ξ = Σ g.

    The largest difference, relative to Σ g, after each of 20 steps on random gradients of 30 weights, of which 3 are
    kept.
    """
    w, make = torch.nn.Parameter(torch.zeros(30, dtype=torch.float64)), noise(seed, 30)
    opt = method([w], lr=0.1, ngrads=4, eps=0.1, density=0.1)
    entered, seen, worst = torch.zeros(30, dtype=torch.float64), torch.zeros(30, dtype=torch.float64), 0.0
    for t in range(20):
        w.grad = make(t, w.detach())
        opt.step()
        state = opt.state[w]
        entered[state["places"][-1].long()] += state["values"][-1]
        seen += w.grad
        worst = max(worst, float((entered + state["error"].flatten() - seen).abs().max() / seen.abs().max()))
    return worst


@claim(
    "LowRankMFAC",
    EFCP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("LowRankMFAC", rank=2),
    seeds=3,
)
def full_rank_is_mfac(method: Any, seed: int) -> float:
    """Compression that keeps everything changes nothing: at full rank low-rank M-FAC is M-FAC.

    The largest difference of the paths over 15 steps on random gradients of a 4 × 5 matrix, relative to the weights.
    """
    start, hyper = torch.zeros(4, 5, dtype=torch.float64), {"lr": 0.1, "ngrads": 5, "damp": 0.1}
    whole = walk(get("MFAC").target, start, noise(seed, 4, 5), 15, **hyper)
    kept = walk(method, start, noise(seed, 4, 5), 15, rank=4, **hyper)
    return farthest(whole, kept) / float(whole[-1].abs().max())


@claim(
    "LowRankMFAC",
    EFCP,
    kind="identity",
    predicts=between(120.0, 120.0),
    tolerance=0.0,
    wrong=told("LowRankMFAC", rank=4),
    seeds=1,
)
def a_low_rank_window_is_small(method: Any, seed: int) -> float:
    """A row of the window holds ρ (m + n) numbers instead of mn: two orders of magnitude less at rank 1.

    M-FAC's numbers over the low-rank ones', of a 200 × 300 matrix and 8 gradients at rank 1.
    """
    w = torch.nn.Parameter(torch.zeros(200, 300))
    dense = get("MFAC").target([w], ngrads=8).state[w]["window"]
    state = method([w], ngrads=8, rank=1).state[w]
    return dense.numel() / (state["left"].numel() + state["right"].numel())
