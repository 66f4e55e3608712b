"""Scion's balls: what bounds a layer, how the oracle reaches it, and what does not depend on width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..._registry import get
from ..claim import at_most, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix, step_of
from .norms import SCION
from .widths import mlp
from .wrong import instead, scaled, told


@claim(
    "ScionColumns",
    SCION,
    kind="identity",
    predicts=equal(1.0),
    tolerance=1e-12,
    wrong=instead("ScionRows", unconstrained=True),
    seeds=3,
)
def a_columns_oracle_reaches_the_dual_norm(method: Any, seed: int) -> float:
    """The oracle of the norm from ℓ1 to RMS, the largest RMS of a column, normalizes columns: no step of its length
    lowers a linear model of the loss by more, ⟨g, d⟩ = ‖g‖_* ‖d‖ with ‖g‖_* = √m Σ ‖gⱼ‖.

    The ratio of both sides for a 9 × 6 matrix with columns of sizes 0.01 to 100.
    """
    g = matrix(seed, 9, 6) * torch.logspace(-2, 2, 6, dtype=torch.float64)
    d = step_of(method, g, momentum=0.0, unconstrained=True)
    length = float(d.square().mean(0).sqrt().max())
    return float((g * d).sum()) / (9**0.5 * float(g.norm(dim=0).sum()) * length)


@claim(
    "ScionColumns",
    SCION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-12,
    wrong=told("ScionColumns", unconstrained=True),
    seeds=3,
)
def what_one_input_makes_stays_bounded(method: Any, seed: int) -> float:
    """In the ball from ℓ1 to RMS a layer makes of a one-hot input, and of what lies between those, an output of RMS at
    most ρ; constrained steps never leave it, at any rate up to 1.

    The largest RMS of an output over ρ = 3, of 12 inputs with |x|₁ = 1 and the 8 one-hot ones, over 200 steps on one
    gradient that comes again and again, with noise; 5 × 8, η = 0.05.
    """
    radius, random, g = 3.0, noise(seed, 5, 8), matrix(seed, 5, 8)
    mixed = matrix(seed + 3, 8, 12)
    inputs = torch.cat([mixed / mixed.abs().sum(0), torch.eye(8, dtype=torch.float64)], 1)
    start, hyper = 0.1 * matrix(seed + 1, 5, 8), {"lr": 0.05, "scale": radius, "unconstrained": False}
    points = walk(method, start, lambda t, w: g + 0.3 * random(t, w), 200, **hyper)
    return float((torch.stack(points) @ inputs).square().mean(1).sqrt().max()) / radius


@claim(
    "ScionRows",
    SCION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-12,
    wrong=told("ScionRows", unconstrained=True),
    seeds=3,
)
def every_output_of_a_row_stays_bounded(method: Any, seed: int) -> float:
    """RowNorm's ball is that from RMS to the largest entry: with rows of RMS at most ρ/n no output of an input of RMS 1
    exceeds ρ.

    The largest output over ρ = 2 for the worst input of each row, and 50 Gaussian ones, over 200 steps on one gradient
    that comes again and again, with noise; 6 × 9, η = 0.05.
    """
    n, radius, random, g = 9, 2.0, noise(seed, 6, 9), matrix(seed, 6, 9)
    hyper = {"lr": 0.05, "scale": radius / n, "unconstrained": False}
    points = torch.stack(walk(method, torch.zeros_like(g), lambda t, w: g + 0.3 * random(t, w), 200, **hyper))
    inputs = torch.cat([matrix(seed + 3, n, 50), points[-1].mT], 1)
    inputs = inputs / inputs.square().mean(0).sqrt()
    return float((points @ inputs).abs().max()) / radius


@claim(
    "ScionRows",
    SCION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
)
def rows_in_a_ball_converge_at_frank_wolfes_rate(method: Any, seed: int) -> float:
    """On a convex problem the steps 2/(k+2) towards the oracle's point are within 2LD²/(k+2) of the least loss of the
    ball, D its diameter and L the smoothness in its norm.

    The largest ratio of |f - f*| to the bound over 300 steps for f = ½‖W - C‖² of 4 × 6, rows of C inside and outside
    the ball of RMS 1; D = 2, L = 24.
    """
    target = matrix(seed, 4, 6) * torch.tensor([0.3, 0.8, 2.0, 4.0], dtype=torch.float64).unsqueeze(1)
    size = target.square().mean(1, keepdim=True).sqrt()
    best = 0.5 * float((target - target / size.clamp(min=1)).square().sum())
    w = nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    opt = method([w], lr=1.0, momentum=0.0, scale=1.0, unconstrained=False)
    worst = 0.0
    for k in range(300):
        opt.param_groups[0]["lr"] = 2 / (k + 2)
        w.grad = w.detach() - target
        opt.step()
        off = abs(0.5 * float((w.detach() - target).square().sum()) - best)
        worst = max(worst, off * (k + 3) / (2 * 24 * 4))
    return worst


@claim(
    "ScionRMS",
    SCION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("ScionRMS", unconstrained=False),
    seeds=3,
)
def without_the_ball_euclidean_scion_is_normalized_sgd(method: Any, seed: int) -> float:
    """Normalized SGD with momentum is the unconstrained method with the Euclidean ball: of n numbers RMS 1 is the
    length √n.

    The largest difference from it over 60 steps of Gaussian gradients of sizes 0.01 to 100, 15 numbers, η = 0.01,
    ρ = 2, μ = 0.9.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 15)(t, w) * 10.0 ** (t % 5 - 2)

    start = matrix(seed, 1, 15)[0]
    ours = walk(method, start, draw, 60, lr=0.01, scale=2.0, momentum=0.9, unconstrained=True)
    normalized = get("TrustRegionL2", "optimizer").target
    return farthest(ours, walk(normalized, start, draw, 60, lr=0.01 * 2 * 15**0.5, momentum=0.9))


@claim(
    "ScionRMS",
    SCION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("ScionRMS", 0.05),
    seeds=3,
)
def the_gap_to_the_oracle_vanishes_without_convexity(method: Any, seed: int) -> float:
    """On a loss that is not convex the gaps max ⟨∇f, w - v⟩ over the ball are in the mean of K steps of the rate γ at
    most Δ/γK + γLD²/2, Δ = f(w₀) - min f and D the diameter.

    The ratio of both sides for ½ wᵀAw of 12 numbers whose curvatures go from -1 to 1, in the ball of RMS 1, D = 2√12;
    no noise and no momentum, K = 400 and the γ that is best for the bound.
    """
    n, steps = 12, 400
    q = torch.linalg.qr(matrix(seed, n, n))[0]
    a = q * torch.linspace(-1, 1, n, dtype=torch.float64) @ q.mT
    start = 0.7 * q[:, 3] + 0.7 * q[:, -1] + 0.1 * matrix(seed + 1, 1, n)[0]
    fall = 0.5 * float(start @ a @ start) + 0.5 * n  # at the rim, along the curvature -1, f is -n/2
    rate = (2 * fall / (steps * 4 * n)) ** 0.5
    hyper = {"lr": rate, "scale": 1.0, "momentum": 0.0, "unconstrained": False}
    points = walk(method, start, lambda t, w: a @ w, steps, **hyper)
    gaps = [float(w @ a @ w) + n**0.5 * float((a @ w).norm()) for w in points[:-1]]
    return sum(gaps) / steps / (fall / (rate * steps) + rate * 4 * n / 2)


def _by_role(method: Any, model: nn.Sequential) -> Any:
    """Scion for the first two matrices and its rule for outputs for the last; another method for all of them."""
    if not hasattr(method, "factory"):
        return method(model.parameters(), lr=0.1)
    *hidden, (_, last) = model.named_parameters()
    named = [(f"h.{name}", p) for name, p in hidden]
    hyper = {"lr": 0.1, "scale": 1.0}
    return method(
        [
            {"params": named, "optimizer": "Scion", **hyper},
            {"params": [("out", last)], "optimizer": "ScionSign", **hyper},
        ]
    )


@claim(
    "Scion",
    SCION,
    kind="empirical",
    predicts=at_most(1.25),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=4,
    scale="tanh networks of two hidden layers, 32 and 128 wide, 16 samples of 8 inputs, outputs that start at 0",
)
def one_rate_of_scion_moves_features_alike_at_every_width(method: Any, seed: int) -> float:
    """With a norm for every layer's role one rate and radius serve all widths: after a few steps the features of every
    layer, and the output, have changed by amounts that do not depend on the width.

    The root mean square change after 3 steps, 128 wide over 32 wide, or the inverse if that is more, each the mean over
    four draws; the largest of all layers.
    """

    def changes(width: int, start: int) -> Tensor:
        torch.manual_seed(start)
        x, y = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 1, dtype=torch.float64)
        model = mlp(width)
        stem, hidden, last = model.parameters()
        nn.init.orthogonal_(stem, (width / 8) ** 0.5)
        nn.init.orthogonal_(hidden)
        nn.init.zeros_(last)
        opt = _by_role(method, model)

        def features() -> list[Tensor]:
            first = model[1](model[0](x))
            second = model[3](model[2](first))
            return [first, second, model[4](second)]

        before = features()
        for _ in range(3):
            opt.zero_grad()
            (features()[-1] - y).square().mean().backward()
            opt.step()
        pairs = zip(before, features(), strict=True)
        return torch.stack([(b - a).detach().square().mean().sqrt() for a, b in pairs])

    wide, slim = (torch.stack([changes(w, 10 * seed + k) for k in range(4)]).sum(0) for w in (128, 32))
    return float(torch.maximum(wide / slim, slim / wide).max())
