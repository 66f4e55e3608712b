"""DoG: the distance that was gone over the gradients that were met."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from ..tuning import tuned
from .identities import noise, walk
from .parameter_free import averaged_end, drawn, gap, scale_matters, start_of
from .rows import Rows, classes, squares
from .wrong import instead, scaled, told

DOG = "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule"


def sgd_at_that_rate(params: Any, reps_rel: float, lr: float = 1.0, **hyper: Any) -> Any:
    """SGD that takes DoG's first movement for its rate."""
    return get("SGD", "optimizer").target(params, lr=reps_rel)


STEPS = 2000


def averaged_sgd(f: Rows, seed: int) -> float:
    """The gap of SGD with DoG's average at its best rate."""

    def end(lr: float) -> float:
        gradient = drawn(f, seed, 4)
        x = mean = start_of(f)
        for t in range(1, STEPS + 1):
            x = x - lr * gradient(t, x)
            mean = mean + 9 / (t + 8) * (x - mean)
        return gap(f, mean)

    return tuned(end, [0.01, 0.1, 1.0]).score


@claim("DoG", DOG, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=told("DoG", eps=1.0), seeds=3)
def dog_does_not_see_the_scale_of_the_loss(method: Any, seed: int) -> float:
    """DoG's steps do not depend on the scale of the loss: its path is the same for f and 1000 f.

    The distance of both paths over 30 noisy steps, over the way that was gone; r_ε = 0.01 (1 + ‖x₀‖).
    """
    return scale_matters(method, seed, **{"reps_rel": 1e-2, "eps": 1e-30})


@claim(
    "DoG",
    DOG,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.3,
    wrong=scaled("DoG", 1e-2),
    seeds=3,
    scale="logistic regression with 60 rows and 5 columns, batches of 4, 2,000 steps",
    cost="full",
)
def dog_comes_near_tuned_sgd(method: Any, seed: int) -> float:
    """DoG is close to SGD with a tuned rate.

    The decimal logarithm of its gap over that of SGD at the best of its rates, with the same average; within a factor
    of two is taken for close.
    """
    f = classes(seed, ridge=0.01)
    end = averaged_end(method, start_of(f), drawn(f, seed, 4), STEPS, lr=1.0)
    return math.log10(gap(f, end) / averaged_sgd(f, seed))


@claim(
    "DoG",
    DOG,
    kind="empirical",
    predicts=at_most(2.0),
    tolerance=0.0,
    wrong=sgd_at_that_rate,
    seeds=4,
    cost="full",
    scale="logistic regression with 60 rows and 5 columns, batches of 4, 2,000 steps, r_ε from 1e-8 to 1e-2",
)
def dogs_first_movement_hardly_matters(method: Any, seed: int) -> float:
    """DoG's only parameter, the first movement, hardly matters as long as it is small.

    The largest gap over the smallest, for r_ε of 1e-8, 1e-5 and 1e-2 relative.
    """
    f = classes(seed, ridge=0.01)
    gaps = [
        gap(f, averaged_end(method, start_of(f), drawn(f, seed, 4), STEPS, reps_rel=r))
        for r in (1e-8, 1e-5, 1e-2)
    ]
    return max(gaps) / min(gaps)


@claim(
    "DoG",
    DOG,
    kind="empirical",
    predicts=at_most(3.0),
    tolerance=0.0,
    wrong=scaled("DoG", 100.0),
    seeds=4,
    scale="least squares, 40 rows and 8 columns, noise 0.1, batches of one row, 800 steps",
)
def dog_stays_near_its_start(method: Any, seed: int) -> float:
    """DoG's iterates stay within a constant times the distance d₀ of start and solution (3 d₀ is what the paper proves
    of a tamed variant), with noise and without a bounded domain.

    The largest ‖x - x₀‖ over d₀.
    """
    f = squares(seed, noise=0.1)
    points = walk(method, start_of(f), drawn(f, seed, 1), 800, lr=1.0)
    return max(float(x.norm()) for x in points) / float(f.best.norm())


def _two(
    method: Any, seed: int, scales: tuple[float, float], steps: int = 40, **hyper: Any
) -> list[list[Tensor]]:
    """Paths of two tensors of a quartic, their gradients times constants."""
    draw = noise(seed, 2, 8)
    live = [torch.nn.Parameter(x.clone()) for x in draw(0, torch.zeros(()))]
    opt, points = method(live, **hyper), []
    for t in range(steps):
        shaken = draw(t + 1, torch.zeros(()))
        for p, s, z in zip(live, scales, shaken, strict=True):
            p.grad = s * (p.detach() ** 3 + p.detach().roll(1) + 0.3 * z)
        opt.step()
        points.append([p.detach().clone() for p in live])
    return points


@claim(
    "LDoG", DOG, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=instead("DoG", eps=1e-30), seeds=3
)  # fmt: skip
def ldog_does_not_see_the_scale_of_any_layer(method: Any, seed: int) -> float:
    """The per-layer variant has a step for every layer, to which the scale of its own gradients does not matter.

    The largest distance, over the way that was gone, of the paths of two tensors with gradients as they are and times
    1,000 and 0.001; 40 noisy steps.
    """
    hyper: dict[str, Any] = {"lr": 1.0, "reps_rel": 1e-2, "eps": 1e-30}
    one, other = (_two(method, seed, s, **hyper) for s in ((1.0, 1.0), (1e3, 1e-3)))
    gone = max(float((a - b).abs().max()) for x in one for a, b in zip(x, one[0], strict=True))
    apart = max(
        float((a - b).abs().max()) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )
    return apart / gone


@claim(
    "LDoG",
    DOG,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=instead("DoG", reps_rel=1e-3),
    seeds=6,
    cost="full",
    scale="a quadratic of two tensors with 8 numbers each and curvatures 1 to 4, of which one is a million times "
    "flatter, 300 exact gradients",
)
def ldog_serves_layers_of_different_scales(method: Any, seed: int) -> float:
    """The per-layer variant generally beats SGD and DoG, whose one rate serves the steepest layer.

    The decimal logarithm of what is left of the flat layer's loss, over what is left with DoG.
    """
    curve = torch.linspace(1, 4, 8, dtype=torch.float64)

    def left(make: Any) -> float:
        live = [torch.nn.Parameter(x.clone()) for x in noise(seed, 2, 8)(0, torch.zeros(()))]
        opt = make(live, lr=1.0, reps_rel=1e-3)
        for _ in range(300):
            for p, s in zip(live, (1.0, 1e-6), strict=True):
                p.grad = s * curve * p.detach()
            opt.step()
        with opt.averaged():
            return float((curve * live[1].detach().square()).sum())

    return math.log10(left(method) / left(get("DoG", "optimizer").target))
