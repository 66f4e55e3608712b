"""What float64 is good for."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, between, claim
from ..problem import descend
from ..problems import quadratic
from .wrong import instead

PRECISION = "Training Neural Networks in Single vs Double Precision"


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
    # at most 10⁶: where double precision comes to 0 the ratio has no size
    return min(max(last[torch.float32], 1e-300) / max(last[torch.float64], 1e-300), 1e6)


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

    The last loss in float32 over that in float64 (at most 10⁶), where the least is 0.
    """
    return _gain(method, seed, 150, **_tight(method))


class RMSProp:
    """RMSprop in whose single precision weights are multiples of 1/16."""

    def __init__(self, params: Any, **hyper: Any) -> None:
        self.params = list(params)
        self.inner = get("RMSProp", "optimizer").target(self.params, **hyper)
        self.zero_grad = self.inner.zero_grad

    def step(self, closure: Any) -> None:
        self.inner.step(closure)
        for p in self.params:
            if p.dtype == torch.float32:
                p.data = (16 * p.data).round() / 16


@claim(
    "RMSProp",
    PRECISION,
    kind="empirical",
    predicts=between(-0.3, 0.3),
    tolerance=0.0,
    wrong=RMSProp,
    seeds=5,
    scale="a tanh network with 16 weights, 40 rows, fitted exactly by known weights from near them; 300 steps, lr 1e-3",
)
def rmsprop_gains_nothing_from_double_precision(method: Any, seed: int) -> float:
    """RMSprop gains nothing from double precision.

    The last loss in float32 over that in float64 in decades, where the least is 0: within a factor of two.
    """
    return math.log10(_gain(method, seed, 300, lr=1e-3))


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
