"""Weights whose length does not matter, and how momentum lengthens them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..claim import at_most, claim, equal
from .stochastic import draws, run
from .tuned_digits import SCALE, best, best_of
from .wrong import instead, told

ADAMP = "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights"


def _turned(seed: int, rows: int = 4, columns: int = 6) -> Any:
    """The gradient of Σ over rows of a linear function of the row's direction, with noise: at right angles to it."""
    normal = draws(seed)
    aim = normal(rows, columns)

    def gradient(_: int, w: Tensor) -> Tensor:
        size = w.norm(dim=1, keepdim=True)
        g = -(aim + normal(rows, columns)) / size
        unit = w / size
        return g - (g * unit).sum(1, keepdim=True) * unit

    return gradient


@claim(
    "SGDP",
    ADAMP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("SGD", momentum=0.9),
    seeds=3,
)
def projected_momentum_lengthens_weights_as_plain_descent_would(method: Any, seed: int) -> float:
    """Where every step is at right angles to the weights, ‖w‖² grows by the squared lengths of the steps and by no
    more: SGDP takes the radial part of the momentum away (but for ε).

    |‖w_T‖² - ‖w₀‖² - Σ‖Δw‖²| / (‖w_T‖² - ‖w₀‖²) over 200 steps on scale-invariant rows, μ = 0.9.
    """
    start = draws(seed + 100)(4, 6)
    points = run(method, start, _turned(seed), 200, lr=0.05, momentum=0.9)
    steps = points.diff(dim=0).square().sum()
    grown = points[-1].square().sum() - points[0].square().sum()
    return float((grown - steps).abs() / grown)


@claim(
    "SGD",
    ADAMP,
    kind="theorem",
    predicts=equal(19.0),
    tolerance=0.4,
    wrong=instead("SGDP", momentum=0.9),
    seeds=3,
)
def momentum_lengthens_scale_invariant_weights_more_than_its_steps_do(method: Any, seed: int) -> float:
    """‖w‖² grows by the squared steps and, since momentum carries what was at right angles to earlier weights, twice
    Σ μ^(t-k) times each earlier one: in the end 1 + 2μ/(1-μ) times Σ‖Δw‖², 19 times at μ = 0.9.

    The growth of ‖w‖² over Σ‖Δw‖² in 1,000 steps on scale-invariant rows.
    """
    points = run(method, draws(seed + 100)(4, 6), _turned(seed), 1000, lr=0.05, momentum=0.9)
    grown = points[-1].square().sum() - points[0].square().sum()
    return float(grown / points.diff(dim=0).square().sum())


@claim(
    "AdamP",
    ADAMP,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("AdamP", lr=1e-5),
    seeds=6,
    cost="full",
    scale=SCALE + "; hidden units normalized over the batch",
)
def adamp_ends_lower_than_adamw_where_units_are_normalized(method: Any, seed: int) -> float:
    """In networks with normalization AdamP generalizes better than AdamW.

    Its loss on new digits over AdamW's, both with the decay 0.01.
    """
    hyper = {"normalized": True, "weight_decay": 0.01}
    return best(method, seed, **hyper) / best_of(("AdamW",), seed, **hyper)
