"""Projections onto rows: Grass."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..._transform import chain
from ...transforms.decay import decay_weights, descend
from ...transforms.subspaces_of_rows import in_drawn_rows, in_top_rows, in_weighted_rows
from ..claim import at_most, claim, equal
from ..methods import of_chain
from ..tuning import tuned
from .matrices import matrix, step_of
from .norms import _given
from .small_nets import fit, missed, net
from .wrong import told

GRASS = "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse Gradients"
Method = Callable[..., Any]
RANK, DRAWS, TIMES = 4, 48, 24


def weighted(power: float) -> Method:
    """Nothing but PPᵀ, of rows drawn with replacement."""
    return of_chain(lambda lr: chain(in_weighted_rows(decay_weights(0.0), RANK, power=power), descend(lr)))


def drawn(power: float) -> Method:
    """Of different rows, without weights."""
    return of_chain(lambda lr: chain(in_drawn_rows(decay_weights(0.0), RANK, power=power), descend(lr)))


def largest() -> Method:
    return of_chain(lambda lr: chain(in_top_rows(decay_weights(0.0), RANK), descend(lr)))


def uneven(seed: int) -> Tensor:
    """12 rows of norms that fall to a tenth."""
    return matrix(seed, 12, 20) * torch.logspace(0, -1, 12, dtype=torch.float64).unsqueeze(1)


def projected(method: Method, g: Tensor, seed: int) -> Tensor:
    """PPᵀg of many draws."""
    params = [torch.nn.Parameter(torch.zeros_like(g)) for _ in range(DRAWS)]
    opt, seen = method([(f"{seed}.{i}", p) for i, p in enumerate(params)], lr=1.0), []
    for _ in range(TIMES):
        before = torch.stack([p.detach().clone() for p in params])
        for p in params:
            p.grad = g
        opt.step()
        seen.append(before - torch.stack([p.detach() for p in params]))
    return torch.cat(seen)


@claim(
    "GrassAdamW",
    GRASS,
    subject=weighted(1.0),
    kind="theorem",
    predicts=equal(0.0),
    tolerance=0.08,
    wrong=drawn(1.0),
    in_mean=True,
    seeds=4,
)
def weighted_rows_are_the_gradient_in_expectation(method: Method, seed: int) -> float:
    """With r rows drawn with replacement and chances q, and weights 1/√(r q), E PPᵀG = G.

    ‖mean of PPᵀG - G‖/‖G‖ over 1,152 draws of 4 rows of 12, chances in proportion to norms that fall to a tenth.
    """
    g = uneven(seed)
    return float((projected(method, g, seed).mean(0) - g).norm() / g.norm())


@claim(
    "GrassAdamW",
    GRASS,
    subject=weighted(1.0),
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.08,
    wrong=weighted(0.0),
    in_mean=True,
    seeds=4,
)
def chances_in_proportion_to_norms_vary_least(method: Method, seed: int) -> float:
    """Of all chances with which r rows are drawn, those in proportion to the rows' norms give PPᵀG the least variance.

    The mean of ‖PPᵀG - G‖² over [(Σ‖gᵢ‖)² - ‖G‖²]/r, the least that Cauchy and Schwarz allow; 1,152 draws of 4 rows of
    12 whose norms fall to a tenth.
    """
    g = uneven(seed)
    seen = (projected(method, g, seed) - g).square().sum((1, 2)).mean()
    return float(seen * RANK / (g.norm(dim=1).sum() ** 2 - g.square().sum()))


@claim(
    "GrassAdamW",
    GRASS,
    subject=largest(),
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-9,
    wrong=drawn(0.0),
    seeds=4,
)
def the_largest_rows_leave_the_least(method: Method, seed: int) -> float:
    """Of all choices of r rows, that of the largest norms (Top-r) leaves the least of the gradient.

    ‖G - PPᵀG‖² over the least of all 495 choices of 4 of 12 rows of equal law.
    """
    g = matrix(seed, 12, 20)
    left = float((g - step_of(method, g)).square().sum())
    sizes = g.square().sum(1)
    least = min(
        float(sizes.sum() - sizes[list(rows)].sum()) for rows in itertools.combinations(range(12), RANK)
    )
    return left / least


@claim(
    "GrassAdamW",
    GRASS,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-9,
    wrong=told("GrassAdamW", rank=48),
    seeds=4,
)
def sparse_projections_take_an_index_a_row(method: Method, seed: int) -> float:
    """Grass keeps 2rn numbers and r indices for an m × n matrix, m ≤ n, where GaLore keeps mr numbers for its
    projection.

    The bytes kept over 8rn + 4r in float32, for ranks of 2 to 16 and m × n from 40 × 96 to 64 × 64.
    """
    m, n = ((40, 96), (96, 40), (80, 56), (64, 64))[seed % 4]
    rank = 2 ** (1 + seed % 4)
    w = torch.nn.Parameter(torch.zeros(m, n, dtype=torch.float32))
    opt = _given(method)([w], lr=0.1, rank=rank)
    w.grad = matrix(0, m, n).float()
    opt.step()
    return opt.state_bytes() / (8 * rank * max(m, n) + 4 * rank)


SCALE = "a ReLU network with two hidden layers of 32 units on 1000 digits of 8 × 8 pixels, rank 4, spaces renewed in "
SCALE += "every 25 of 200 steps, batches of 50; tried on 797 others"
SPACES: dict[str, Any] = {"rank": 4}


def reached(method: Method, seed: int, lr: float, **hyper: Any) -> float:
    """The loss on other digits at the end; all matrices are projected."""
    model = net(seed, 32, 32)
    opt = _given(method)(model.parameters(), lr=lr, **SPACES, **hyper)
    return missed(fit(model, opt, 200, seed))


@lru_cache(32)
def galore(seed: int) -> float:
    """GaLore's, at the best of its rates."""
    theirs = get("GaLoreAdamW", "optimizer").target
    return tuned(lambda lr: reached(theirs, seed, lr, update_proj_gap=25), (0.01, 0.03, 0.1)).score


@claim(
    "GrassAdamW", GRASS, kind="empirical", predicts=at_most(1.1), tolerance=0.0,
    wrong=told("GaLoreAdamW", rank=1, update_proj_gap=10000), seeds=4, scale=SCALE, cost="full",
)  # fmt: skip
def rows_are_as_good_a_space_as_singular_vectors(method: Method, seed: int) -> float:
    """Grass is competitive with GaLore at the same rank: within 10 % of its loss here.

    The loss on other digits over GaLore's, each at the best of its rates.
    """
    rates = (0.01, 0.03, 0.1)
    return tuned(lambda lr: reached(method, seed, lr, update_proj_gap=25), rates).score / galore(seed)
