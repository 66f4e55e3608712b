"""Subspaces that follow the gradients, and what they leave out: Online Subspace Descent, Fira."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from ..._registry import get
from ..._transform import chain
from ...transforms.decay import decay_weights, descend
from ...transforms.subspaces import in_tracked_subspace
from ..claim import at_most, claim, equal
from ..methods import of_chain
from ..tuning import tuned
from .identities import farthest, noise, walk
from .matrices import matrix
from .norms import _given
from .sparse_projections import SCALE, galore, reached
from .wrong import told

ONLINE = "Memory-Efficient LLM Training with Online Subspace Descent"
FIRA = "Fira: Can We Achieve Full-rank Training of LLMs Under Low-rank Constraint?"
Method = Callable[..., Any]
RATES = (0.01, 0.03, 0.1)


def tracked(projection_lr: float, times: float = 1.0, rank: int = 2) -> Method:
    """Gradient descent in a space that takes steps of online PCA."""
    inner = decay_weights(0.0)
    return of_chain(
        lambda lr: chain(in_tracked_subspace(inner, rank, projection_lr=projection_lr), descend(times * lr))
    )


def _bowl(method: Method, seed: int, steps: int) -> list[float]:
    """Losses on ½ tr Wᵀ B W C of 6 × 9, L its largest curvature, at the rate ½/L."""
    roots = matrix(seed, 6, 6), matrix(seed + 1, 9, 9)
    b, c = (r @ r.mT / (2 * len(r)) + 0.2 * torch.eye(len(r), dtype=r.dtype) for r in roots)
    rate = 0.5 / float(torch.linalg.eigvalsh(b)[-1] * torch.linalg.eigvalsh(c)[-1])
    points = walk(method, matrix(seed + 2, 6, 9), lambda _, w: b @ w @ c, steps, lr=rate)
    return [float((w * (b @ w @ c)).sum()) / 2 for w in points]


@claim(
    "OnlineSubspaceAdamW",
    ONLINE,
    subject=tracked(0.02),
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=tracked(0.02, times=12.0),
    seeds=3,
)
def steps_in_a_moving_space_never_go_uphill(method: Method, seed: int) -> float:
    """However the projection moves, gradient descent in its span never raises the loss (the Hamiltonian's descent, for
    gradient descent).

    The largest ratio of the losses after and before one of 300 steps of rank 2 on a quadratic of 6 × 9.
    """
    losses = _bowl(method, seed, 300)
    return max(after / before for before, after in itertools.pairwise(losses))


@claim(
    "OnlineSubspaceAdamW",
    ONLINE,
    subject=tracked(0.02),
    kind="theorem",
    predicts=at_most(-1.5),
    tolerance=0.0,
    wrong=tracked(0.0),
    seeds=3,
)
def a_space_that_moves_leaves_no_gradient_behind(method: Method, seed: int) -> float:
    """Online Subspace Descent converges to a stationary point of the loss itself, not of its restriction to a space.

    log₁₀ of the loss after 1,200 steps of rank 2 on a quadratic of 6 × 9, over that at the start (the theorem gives no
    rate; a space that stays where it is keeps most of the loss for ever).
    """
    losses = _bowl(method, seed, 1200)
    return math.log10(losses[-1] / losses[0])


@claim(
    "OnlineSubspaceAdamW",
    ONLINE,
    kind="empirical",
    predicts=at_most(0.05),
    tolerance=0.0,
    wrong=told("OnlineSubspaceAdamW", projection_lr=0.0),
    seeds=4,
    scale="gradients of rank 3 and 12 × 20 with 1 % of noise, from a space at random, 400 steps of rate 0.01",
)
def online_pca_finds_the_space_of_the_gradients(method: Method, seed: int) -> float:
    """Steps on ‖Ĝ - PPᵀĜ‖² bring P into the leading space of the gradients, without singular vectors.

    What P leaves out of the last gradient, ‖Ĝ - PPᵀĜ‖², where the first gradient, from which P begins, lies in another
    space of rank 3.
    """
    frame, draw = torch.linalg.qr(matrix(seed, 12, 3))[0], noise(seed, 3, 20)
    spots, w = noise(seed + 50, 12, 20), torch.nn.Parameter(matrix(seed, 12, 20))
    opt = _given(method)([w], **{"lr": 1e-3, "rank": 3, "projection_lr": 0.01})
    for t in range(400):
        w.grad = matrix(seed + 9, 12, 20) if t == 0 else frame @ draw(t, w) + 0.01 * spots(t, w)
        opt.step()
    P, g = opt.state[w]["P"], w.grad / w.grad.norm()  # type: ignore[operator, union-attr]
    return float((g - P @ (P.mT @ g)).square().sum())


@claim(
    "OnlineSubspaceAdamW", ONLINE, kind="empirical", predicts=at_most(1.0), tolerance=0.0,
    wrong=told("OnlineSubspaceAdamW", rank=1, projection_lr=0.0), seeds=4, scale=SCALE, cost="full",
)  # fmt: skip
def online_spaces_are_better_than_galores(method: Method, seed: int) -> float:
    """Online Subspace Descent ends at a lower loss than GaLore of the same rank.

    The loss on other digits over GaLore's, each at the best of its rates, a projection's own rate of 1/25.
    """

    def ours(lr: float) -> float:
        return reached(method, seed, lr, projection_lr=1 / 25)

    return tuned(ours, RATES).score / galore(seed)


@claim(
    "FiraAdamW", FIRA, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=told("FiraAdamW", rank=3), seeds=3
)  # fmt: skip
def at_full_rank_fira_is_galore(method: Method, seed: int) -> float:
    """At full rank, and with a scale of 1, the space leaves nothing out, and Fira is GaLore.

    The largest difference over 40 steps on given gradients of 6 × 9, spaces renewed every 7.
    """
    hyper: dict[str, Any] = dict(lr=0.01, update_proj_gap=7, scale=1.0, rank=6)
    theirs = _given(get("GaLoreAdamW", "optimizer").target)
    start, draw = matrix(seed, 6, 9), noise(seed, 6, 9)
    return farthest(walk(_given(method), start, draw, 40, **hyper), walk(theirs, start, draw, 40, **hyper))


@claim(
    "FiraAdamW",
    FIRA,
    kind="theorem",
    predicts=at_most(1.01),
    tolerance=1e-6,
    wrong=told("FiraAdamW", limit=100.0),
    seeds=3,
)
def what_is_left_out_grows_slowly(method: Method, seed: int) -> float:
    """The norm-growth limiter lets the part outside the space grow by a factor of γ = 1.01 a step at most.

    The largest ratio of its norm to that of one step before, over 60 steps of rank 2 on gradients of 6 × 9 whose sizes
    jump by a factor of 100.
    """
    w, draw, norms = torch.nn.Parameter(matrix(seed, 6, 9)), noise(seed, 6, 9), []
    opt = _given(method)([w], lr=0.01, rank=2, update_proj_gap=5)
    for t in range(60):
        w.grad = draw(t, w) * (100.0 if t % 7 == 3 else 1.0)
        opt.step()
        norms.append(float(opt.state[w]["residual_norm"]))
    return max(after / before for before, after in itertools.pairwise(norms))


@claim(
    "FiraAdamW", FIRA, kind="empirical", predicts=at_most(1.0), tolerance=0.0,
    wrong=told("GaLoreAdamW", rank=1, update_proj_gap=10000), seeds=4, scale=SCALE, cost="full",
)  # fmt: skip
def firas_residual_is_worth_having(method: Method, seed: int) -> float:
    """Fira ends at a lower loss than GaLore of the same rank.

    The loss on other digits over GaLore's, each at the best of its rates.
    """
    rates = (0.001, 0.003, 0.01)
    return tuned(lambda lr: reached(method, seed, lr, update_proj_gap=25), rates).score / galore(seed)
