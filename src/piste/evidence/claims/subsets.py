"""Subset norms and momentum in a subspace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.decay import descend
from ...transforms.subspace_momentum import subspace_momentum
from ..claim import at_most, claim, equal
from ..methods import of_chain
from .identities import noise
from .lean import against, flat, kept
from .wrong import instead, told

SNSM = (
    "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training with "
    "Convergence Guarantees"
)


@claim(
    "AdaGradSN", SNSM, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=instead("Adagrad"), seeds=1
)
def subset_norms_take_the_root_of_the_models_size(method: Any, seed: int) -> float:
    """Subset-Norm reduces AdaGrad's memory from O(d) to O(√d).

    The numbers kept without a momentum over √d, for square matrices of d = 16² to 128² weights, the one farthest from
    1.
    """
    hyper = {"momentum": 0.0} if method.__name__ == "AdaGradSN" else {}
    seen = [kept(method, n, n, **hyper) / 4 / n for n in (16, 32, 64, 128)]
    return max(seen, key=lambda x: abs(x - 1))


@claim(
    "AdamSNSM",
    SNSM,
    kind="theorem",
    predicts=at_most(0.2),
    tolerance=0.0,
    wrong=told("AdamSNSM", rank=256),
    seeds=1,
)
def norms_and_a_subspace_take_a_fifth_of_adams_memory(method: Any, seed: int) -> float:
    """Subset-Norm with Subspace-Momentum reduces the memory of Adam's state by more than 80 %.

    The bytes kept for a 256 × 688 matrix (a feed-forward layer's shape, at a quarter of the width of the smallest Llama
    that the paper trains), over AdamW's 2mn numbers; rank 64, a quarter of the shorter side (wrong: a rank of all).
    """
    return kept(method, 256, 688, rank=64) / (8 * 256 * 688)


def _by_hand(seed: int, steps: int) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of 12 × 5 and the steps of AdaGrad with one norm for each row."""
    draw, s, found = noise(seed, 12, 5), torch.zeros(12, dtype=torch.float64), []
    slopes = [draw(t, s) for t in range(steps)]
    for g in slopes:
        s = s + torch.stack([row.norm() ** 2 for row in g])
        found.append(torch.stack([row / x.sqrt() for row, x in zip(g, s, strict=True)]))
    return slopes, found


@claim(
    "AdaGradSN",
    SNSM,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("Adagrad"),
    seeds=3,
)
def subsets_are_adagrad_norm_each(method: Any, seed: int) -> float:
    """Within a subset Subset-Norm is AdaGrad-Norm: the step is a multiple of the gradient, over the root of the sum of
    its squared norms.

    The largest difference over 30 steps from AdaGrad-Norm by rows, 12 × 5, ε = 1e-8.
    """
    slopes, want = _by_hand(seed, 30)
    hyper = {"momentum": 0.0, "eps": 1e-8} if method.__name__ == "AdaGradSN" else {}
    seen = flat(method, lambda t: slopes[t], 30, **hyper)
    return max(float((a - b).abs().max()) for a, b in zip(seen, want, strict=True))


def inside(params: Any, lr: float, rank: int = 3, **hyper: Any) -> Any:
    """Subspace-Momentum alone, with the span of the first gradient."""
    made = of_chain(lambda lr: chain(subspace_momentum(0.9, rank, lambda t: t == 1), descend(lr)))
    return made(params, lr=lr)


def everywhere(params: Any, lr: float, **hyper: Any) -> Any:
    return inside(params, lr, rank=8)


@claim(
    "Subspace-Momentum",
    SNSM,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=everywhere,
    subject=inside,
    seeds=3,
)
def beside_the_subspace_it_is_plain_descent(method: Any, seed: int) -> float:
    """In the orthogonal complement of its subspace Subspace-Momentum is SGD, in the subspace it is momentum.

    The largest difference of 30 steps of 8 × 12 from both, the span of the first gradient's 3 leading singular vectors,
    μ = 0.9.
    """
    draw, m, worst = noise(seed, 8, 12), torch.zeros(8, 12, dtype=torch.float64), 0.0
    slopes = [draw(t, m) for t in range(30)]
    left = torch.linalg.svd(slopes[0])[0][:, :3]
    span = left @ left.mT
    for g, u in zip(slopes, flat(method, slopes.__getitem__, 30), strict=True):
        m = 0.9 * m + 0.1 * span @ g
        worst = max(worst, float((u - m - (g - span @ g)).abs().max()))
    return worst


@claim(
    "AdamSNSM",
    SNSM,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.1,
    wrong=told("AdamSNSM", weight_decay=3.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, rank 8, the rate tuned and falling to 0",
)
def norms_and_a_subspace_learn_what_adam_learns(method: Any, seed: int) -> float:
    """Subset-Norm with Subspace-Momentum reaches Adam's loss, with a fifth of its memory.

    The loss on new digits over Adam's, both tuned.
    """
    hyper: dict[str, Any] = dict(rank=8, update_proj_gap=20)
    return against(method, "Adam", seed, (0.1, 0.3, 1.0), (0.01, 0.03, 0.1), **hyper)


@claim(
    "AdamSN",
    SNSM,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.1,
    wrong=told("AdamSN", weight_decay=30.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, the rate tuned and falling to 0",
)
def subset_norms_learn_what_adam_learns(method: Any, seed: int) -> float:
    """Adam with subset norms performs as Adam does or better.

    The loss on new digits over Adam's, both tuned.
    """
    return against(method, "Adam", seed, (0.1, 0.3, 1.0), (0.01, 0.03, 0.1))
