"""Fewer directions: SOAP that turns one side, and GaLore's subspaces."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix
from .norms import _given
from .papers import SOAP
from .wrong import instead, scaled, told

GALORE = "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection"


def kept(method: Any, m: int, n: int, **hyper: Any) -> float:
    """How many numbers an optimizer keeps for an m × n matrix after a step."""
    w = torch.nn.Parameter(torch.zeros(m, n, dtype=torch.float32))
    opt = _given(method)([w], lr=0.1, **hyper)
    w.grad = matrix(0, m, n).float()
    opt.step()
    return opt.state_bytes() / 4


@claim(
    "OneSidedSOAP",
    SOAP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=instead("AdamW"),
    seeds=2,
)
def one_sided_soap_does_not_see_its_short_side_turned(method: Any, seed: int) -> float:
    """One side of every matrix is turned, the smaller: turning that axis of all gradients turns the path with it.

    The largest difference of two runs of 25 steps, turned back: rows of a 6 × 9 matrix for even seeds, columns of a 9
    × 6 matrix for odd ones.
    """
    tall = bool(seed % 2)
    turn, draw = torch.linalg.qr(matrix(seed + 31, 6, 6))[0], noise(seed, 6, 9)
    hyper: dict[str, Any] = dict(lr=0.01, weight_decay=0.0)

    def path(frame: Tensor) -> list[Tensor]:
        def slope(t: int, w: Tensor) -> Tensor:
            g = frame @ draw(t, w)
            return g.mT if tall else g

        start = torch.zeros(9, 6) if tall else torch.zeros(6, 9)
        points = walk(method, start.double(), slope, 25, **hyper)
        return [frame.mT @ (x.mT if tall else x) for x in points]

    return farthest(path(torch.eye(6, dtype=torch.float64)), path(turn))


@claim(
    "OneSidedSOAP",
    SOAP,
    kind="theorem",
    predicts=equal(2.0),
    tolerance=1e-3,
    wrong=told("OneSidedSOAP", sides="both"),
    seeds=4,
)
def one_side_costs_twice_the_square_of_the_smaller_axis(method: Any, seed: int) -> float:
    """Turning the smaller side only, one pair of square matrices is kept beside Adam's moments, the statistic and the
    basis of that side; SOAP keeps 2m² + 2n².

    The numbers kept beyond Adam's 2mn, over min(m, n)²; m × n from 40 × 96 to 96 × 56.
    """
    m, n = ((40, 96), (96, 40), (56, 80), (96, 56))[seed % 4]
    return (kept(method, m, n) - 2 * m * n) / min(m, n) ** 2


@claim(
    "OneSidedSOAP",
    SOAP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("OneSidedSOAP", sides="both"),
    seeds=2,
)
def one_sided_soap_is_soap_with_the_identity_for_the_long_side(method: Any, seed: int) -> float:
    """Fixing the basis of the longer side at the identity, as SOAP does for axes that are very long, is the one-sided
    variant.

    The largest difference over 40 steps of 6 × 14 from SOAP with the identity for axes above 10.
    """
    draw, start = noise(seed, 6, 14), matrix(seed, 6, 14)
    soap = get("SOAP", "optimizer").target
    return farthest(
        walk(method, start, draw, 40, lr=0.01), walk(soap, start, draw, 40, lr=0.01, max_precond_dim=10)
    )


@claim(
    "GaLoreAdamW",
    GALORE,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-3,
    wrong=told("GaLoreAdamW", rank=64),
    seeds=4,
)
def projected_moments_take_the_memory_of_the_rank(method: Any, seed: int) -> float:
    """GaLore keeps mr + 2nr numbers for an m × n matrix, m ≤ n: the projection and both moments in its space.

    The numbers kept over that, for ranks of 2 to 16 and m × n from 40 × 96 to 64 × 64.
    """
    m, n = ((40, 96), (96, 40), (80, 56), (64, 64))[seed % 4]
    rank = 2 ** (1 + seed % 4)
    return kept(method, m, n, rank=rank) / (min(m, n) * rank + 2 * max(m, n) * rank)


@claim(
    "GaLoreAdamW",
    GALORE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("GaLoreAdamW", rank=5),
    seeds=3,
)
def at_full_rank_projected_gradients_lose_nothing(method: Any, seed: int) -> float:
    """At full rank and with a rule that leaves the gradient as it is, the projection and its way back are the identity:
    GaLore follows the path of gradient descent, however often its space is renewed.

    The largest difference over 40 steps on ½ tr Wᵀ B W C of 6 × 9, the space renewed every 3 steps, where β₁ = 0 and ε
    = 1e9 make Adam's step g/ε.
    """
    roots = matrix(seed, 6, 6), matrix(seed + 1, 9, 9)
    b, c = (r @ r.mT / len(r) for r in roots)

    def slope(_: int, w: Tensor) -> Tensor:
        return b @ w @ c

    start, lr = matrix(seed + 2, 6, 9), 0.03
    flat: dict[str, Any] = dict(betas=(0.0, 0.999), eps=1e9, correct_bias=False, scale=0.25)
    ours = walk(_given(method), start, slope, 40, lr=4e9 * lr, rank=6, update_proj_gap=3, **flat)
    return farthest(ours, walk(get("SGD", "optimizer").target, start, slope, 40, lr=lr))


@claim(
    "GaLoreAdamW",
    GALORE,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-6,
    wrong=scaled("GaLoreAdamW", 0.8),
    seeds=3,
)
def the_projected_gradient_contracts_in_a_fixed_space(method: Any, seed: int) -> float:
    """For gradients A - BWC with B and C positive and constant, a fixed projection P and a rule that leaves the
    gradient as it is, ‖PᵀG‖ falls at least by the factor 1 - ηκ in every step of a small enough rate η, κ =
    λ_min(PᵀBP) λ_min(C): GaLore converges in its space without renewing it.

    The largest ratio of ‖PᵀG‖ to what it was before, over that factor; 300 steps of rank 3 on 6 × 9, ε = 1e9, η =
    1 / λ_max(B) λ_max(C). By then the slowest direction is what is left and the bound is nearly met: at 0.8 of the
    rate it is broken.
    """
    roots = matrix(seed, 6, 6), matrix(seed + 1, 9, 9)
    b, c = (r @ r.mT / (2 * len(r)) + 0.2 * torch.eye(len(r), dtype=r.dtype) for r in roots)
    rate = 1 / float(torch.linalg.eigvalsh(b)[-1] * torch.linalg.eigvalsh(c)[-1])
    target, w = matrix(seed + 2, 6, 9), torch.nn.Parameter(torch.zeros(6, 9, dtype=torch.float64))
    opt = _given(method)(
        [w],
        lr=1e9 * rate,
        betas=(0.0, 0.999),
        eps=1e9,
        rank=3,
        update_proj_gap=1000,
        scale=1.0,
        correct_bias=False,
    )
    sizes: list[float] = []
    space = torch.zeros(6, 3, dtype=torch.float64)
    for _ in range(300):
        g = target - b @ w.detach() @ c
        w.grad = -g
        opt.step()
        space = opt.state[w]["P"]
        sizes.append(float((space.mT @ g).norm()))
    kappa = float(torch.linalg.eigvalsh(space.mT @ b @ space)[0] * torch.linalg.eigvalsh(c)[0])
    return max(now / before for before, now in itertools.pairwise(sizes)) / (1 - rate * kappa)
