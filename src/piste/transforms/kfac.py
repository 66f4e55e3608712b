"""Preconditioning by the Fisher matrix of a layer: a Kronecker product of what goes in and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._transform import basis, factor, moment, scalar, sense, square, total, transform
from ..linalg.eigen import eigenbasis
from ..linalg.products import symmetric
from ..linalg.roots import inverse_root
from ._numbers import debias, minimum, ratio, sqrt


def _always(step: int) -> bool:
    return True


@sense(provides=("row_cov", "col_cov"))
def layer_covariances(
    a: Tensor, g: Tensor, *, max_precond_dim: int = 10000, refresh: bool = _always,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """The second moments of a layer's inputs and of the gradients at its outputs, in the steps where ``refresh`` holds:

        A = E Σᵣ a aᵀ  [n, n];    G = E (1/R) Σᵣ g gᵀ  [m, m];    the Fisher matrix of the layer ≈ A ⊗ G

    over examples, g being each one's own gradient (the loss a mean over them), with r the R places of a convolution
    (Grosse and Martens's KFC). A side longer than ``max_precond_dim`` has none.

    Reference: "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", James Martens, Roger Grosse,
    2015, https://arxiv.org/abs/1503.05671
    Reference: "A Kronecker-factored approximate Fisher matrix for convolution layers", Roger Grosse, James Martens,
    2016, https://arxiv.org/abs/1602.01407
    """
    places = a.shape[1]
    a, g = a.flatten(0, 1), g.flatten(0, 1)
    of_a = None if a.shape[-1] > max_precond_dim + 1 else symmetric(a.mT, a)  # one column may be the bias's
    return of_a, None if g.shape[-1] > max_precond_dim else symmetric(g.mT, g) / places


def _kept(side: int) -> Callable[[int, int, Mapping[str, Any]], bool]:
    return lambda m, n, hyper: (m, n)[side] <= hyper["max_precond_dim"]


def _averaged(
    count: Tensor, stat_decay: float, kept: tuple[Tensor | None, ...], new: tuple[Tensor | None, ...]
) -> Any:
    """The averages with what was gathered in this step (nothing: as they are), and how often that was.

    H ← ε H + (1-ε) new, ε = min(1 - 1/k, stat_decay) at the k-th: a plain mean at first, so nothing needs debiasing.
    """
    if all(x is None for x in new):
        return *kept, count
    count = count + 1
    weight = torch.clamp(1 / count, min=1 - stat_decay)
    averages = [
        h if h is None or x is None else h + weight.to(h.dtype) * (x - h)
        for h, x in zip(kept, new, strict=True)
    ]
    return *averages, count


@transform(
    invariant=("sign",),
    scope="tensor",
    L=factor("m m", when=_kept(0)),
    R=factor("n n", when=_kept(1)),
    L_inverse=factor("m m", when=_kept(0)),
    R_inverse=factor("n n", when=_kept(1)),
    statistics=scalar,
)
def scale_by_kfac(
    u: Tensor, row_cov: Tensor | None, col_cov: Tensor | None, L: Tensor | None, R: Tensor | None,
    L_inverse: Tensor | None, R_inverse: Tensor | None, statistics: Tensor, *, stat_decay: float, damping: float,
    max_precond_dim: int = 10000, refresh: bool = True,
) -> Any:  # fmt: skip
    """u ← (L + √λ/π I)⁻¹ u (R + π√λ I)⁻¹,  π² = (tr R / n) / (tr L / m): the natural gradient of a layer.

    L [m, m] and R [n, n] are running averages of ``row_cov`` and ``col_cov`` (see :func:`layer_covariances`), λ the
    ``damping``; π splits it so that (R + ..) ⊗ (L + ..) is nearest R ⊗ L + λI. The inverses are taken anew in the steps
    where ``refresh`` holds. A side without a factor is left as it is.

    Reference: "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", James Martens, Roger Grosse,
    2015, https://arxiv.org/abs/1503.05671
    """
    L, R, statistics = _averaged(statistics, stat_decay, (L, R), (row_cov, col_cov))
    if refresh:
        pi: Any = 1.0
        if L is not None and R is not None:
            least = torch.finfo(u.dtype).tiny ** 0.5  # a dead layer has 0
            rows, columns = (h.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=least) for h in (L, R))
            pi = (columns / rows).sqrt()
        root = sqrt(damping)
        L_inverse = None if L is None else inverse_root(L, 1, root / pi)
        R_inverse = None if R is None else inverse_root(R, 1, root * pi)
    u = u if L_inverse is None else L_inverse @ u
    u = u if R_inverse is None else u @ R_inverse
    return u, L, R, L_inverse, R_inverse, statistics


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    L=factor("m m", when=_kept(0)),
    R=factor("n n", when=_kept(1)),
    Q_L=basis("m m", eye=1.0, when=_kept(0)),
    Q_R=basis("n n", eye=1.0, when=_kept(1)),
    statistics=scalar,
)
def in_kronecker_eigenbasis(
    u: Tensor, rule: Any, row_cov: Tensor | None, col_cov: Tensor | None, L: Tensor | None, R: Tensor | None,
    Q_L: Tensor | None, Q_R: Tensor | None, statistics: Tensor, *, stat_decay: float, max_precond_dim: int = 10000,
    refresh: bool = True,
) -> Any:  # fmt: skip
    """Any rule, run in the eigenbases of the layer's covariances: u ← Q_L rule(Q_Lᵀ u Q_R) Q_Rᵀ.

    L and R are averaged as in :func:`scale_by_kfac`; where ``refresh`` holds the bases are taken anew, before they are
    used. The rule's moments are carried into the new basis, its squares as the diagonal of a matrix would be.

    Reference: "Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis", Thomas George, César
    Laurent, Xavier Bouthillier, Nicolas Ballas, Pascal Vincent, 2018, https://arxiv.org/abs/1806.03884
    """
    L, R, statistics = _averaged(statistics, stat_decay, (L, R), (row_cov, col_cov))
    if refresh:
        old = Q_L, Q_R
        Q_L, Q_R = (None if h is None else eigenbasis(h) for h in (L, R))
        turns = [
            None if was is None or now is None else now.mT @ was
            for was, now in zip(old, (Q_L, Q_R), strict=True)
        ]
        rule.turn(
            moment=lambda m: _both(m, *turns),
            square=lambda v: _both(v, *(None if t is None else t.square() for t in turns)),
        )

    def into(x: Tensor) -> Tensor:
        return _both(x, *(None if q is None else q.mT for q in (Q_L, Q_R)))

    return _both(rule(into(u), into=into), Q_L, Q_R), L, R, Q_L, Q_R, statistics


def _both(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """left x rightᵀ, a missing side being the identity."""
    x = x if left is None else left @ x
    return x if right is None else x @ right.mT


@transform(invariant=("sign",), exp_avg_sq=square)
def divide_by_square(g: Tensor, step: Any, exp_avg_sq: Tensor, *, stat_decay: float, damping: float) -> Any:
    """s ← βs + (1-β)g²;  u = g / (ŝ + λ), ŝ debiased: without Adam's root, a Newton step where s is the curvature.

    Reference: "Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis", Thomas George, César
    Laurent, Xavier Bouthillier, Nicolas Ballas, Pascal Vincent, 2018, https://arxiv.org/abs/1806.03884
    """
    s = exp_avg_sq.lerp(g.square(), 1 - stat_decay)
    return g / (debias(s, stat_decay, step) + damping), s


@transform(sums={"slope": total(lambda u, grad: u * grad, over="tree")})
def clip_by_kl(u: Tensor, slope: Tensor, *, lr: float, kl_clip: float) -> Tensor:
    """u ← u min(1, √(κ / (η² ⟨u, g⟩))), over all parameters of the chain: where u = F⁻¹g the step changes the model's
    distribution by no more than κ (to second order, twice the Kullback-Leibler divergence).

    Reference: "Distributed Second-Order Optimization using Kronecker-Factored Approximations", Jimmy Ba, Roger Grosse,
    James Martens, 2017, https://openreview.net/forum?id=SkkTMpjex
    """
    return u * sqrt(minimum(1.0, ratio(kl_clip + 0.0 * slope, lr * lr * slope.clamp(min=0.0))))


def _min_max(x: Tensor | None) -> Tensor | None:
    return None if x is None else (x - x.min()) / (x.max() - x.min() + 1e-6)


def _normalized(of_a: Tensor | None, of_g: Tensor | None) -> Any:
    return _min_max(of_a), _min_max(of_g)


@sense(provides=("row_sq", "col_sq"), finish=_normalized, per_example=False)
def normalized_squares(a: Tensor, g: Tensor, *, refresh: bool = _always) -> Any:  # type: ignore[assignment]
    """The mean squares of a layer's inputs and of the gradients of the mean loss at its outputs, each mapped to [0, 1]
    by (x - min x) / (max x - min x + 1e-6), in the steps where ``refresh`` holds.

    Reference: "AdaFisher: Adaptive Second Order Optimization via Fisher Information", Damien Martins Gomes, Yanlei
    Zhang, Eugene Belilovsky, Guy Wolf, Mahdi S. Hosseini, 2024, https://arxiv.org/abs/2405.16397
    """
    return a.square().mean(1).sum(0), g.square().mean(1).sum(0)


@transform(
    invariant=("sign",), exp_avg=moment, S_D=factor("m", fill=1.0), H_D=factor("n", fill=1.0)
)  # fmt: skip
def scale_by_adafisher(
    g: Tensor, step: Any, row_sq: Tensor | None, col_sq: Tensor | None, exp_avg: Tensor, S_D: Tensor, H_D: Tensor, *,
    beta: float, Lambda: float, gamma: float,
) -> Any:  # fmt: skip
    """m ← βm + (1-β)g;  S ← γ/10 S + γ/100 s;  H ← γ/10 H + γ/100 h;  u = m̂ / (S Hᵀ + Λ).

    h and s are ``col_sq`` and ``row_sq`` (see :func:`normalized_squares`) in the steps in which there are any.

    Reference: "AdaFisher: Adaptive Second Order Optimization via Fisher Information", Damien Martins Gomes, Yanlei
    Zhang, Eugene Belilovsky, Guy Wolf, Mahdi S. Hosseini, 2024, https://arxiv.org/abs/2405.16397
    """
    m = exp_avg.lerp(g, 1 - beta)
    S_D, H_D = (
        kept if new is None else 0.1 * gamma * kept + 0.01 * gamma * new
        for kept, new in ((S_D, row_sq), (H_D, col_sq))
    )
    return debias(m, beta, step) / (S_D * H_D + Lambda), m, S_D, H_D
