"""Curvature by random probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _sharding as sharding
from .._transform import oracle, weights


def _always(step: int) -> bool:
    return True


def signs(noise: Sequence[Tensor], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """A random sign for every entry that has a gradient; a normal is 0 once in 2²⁴ draws."""
    return [None if g is None else z.sign() + (z == 0) for z, g in zip(noise, grads, strict=True)]


@oracle(provides=("loss", "hvp", "vector"), whole="exact")
def hutchinson(
    evaluate: Any, params: Sequence[Tensor], noise: Sequence[Tensor], *, refresh: bool = _always,  # type: ignore[assignment]
    exact: bool = False,
) -> Any:  # fmt: skip
    """The gradient, and in the steps where ``refresh`` holds the Hessian's product with a random sign vector z:

        hvp = ∇²f(w) z,    vector = z ∈ {-1, 1}ⁿ,    E[z ⊙ ∇²f(w) z] = diag ∇²f(w)

    z is drawn by counter from (seed, name, step, index). By differences of gradients (three evaluations in such a step,
    one in the others); ``exact`` differentiates twice (see ``Evaluate.hvp``).

    Reference: "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
    Michael F. Hutchinson, 1989, https://doi.org/10.1080/03610918908812806
    """
    loss, grads = evaluate()
    if not refresh:
        return loss, grads, None, None
    z = signs(noise, grads)
    return loss, grads, evaluate.hvp(z, exact), z


@oracle(provides=("loss", "hvp", "vector"), whole="exact")
def spatial_hutchinson(
    evaluate: Any, params: Sequence[Tensor], noise: Sequence[Tensor], *, refresh: bool = _always,  # type: ignore[assignment]
    exact: bool = False,
) -> Any:  # fmt: skip
    """:func:`hutchinson`, of convolutions averaged over each kernel: for a tensor of more than two axes

        vector ⊙ hvp = the mean of |z ⊙ ∇²f(w) z| over all axes but the first two

    which all entries of the kernel share. Of other tensors as it is.

    Reference: "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning", Zhewei Yao, Amir Gholami,
    Sheng Shen, Mustafa Mustafa, Kurt Keutzer, Michael W. Mahoney, 2021, https://arxiv.org/abs/2006.00719
    """
    loss, grads = evaluate()
    if not refresh:
        return loss, grads, None, None
    z = signs(noise, grads)
    products = evaluate.hvp(z, exact)
    return loss, grads, [_averaged(h, s) for h, s in zip(products, z, strict=True)], z


def _averaged(product: Tensor | None, sign: Tensor | None) -> Tensor | None:
    if product is None or sign is None or product.dim() <= 2:
        return product
    return sign * product.abs().mean(dim=tuple(range(2, product.dim())), keepdim=True)


@oracle(provides=("loss", "hvp", "vector", "secant"), whole="exact", last_point=weights)
def hutchinson_and_secant(
    evaluate: Any, params: Sequence[Tensor], noise: Sequence[Tensor], step: int, last_point: Sequence[Tensor | None], *,
    exact: bool = False,
) -> Any:  # fmt: skip
    """:func:`hutchinson` in every step, and from the second one on the way from the last point and how far the gradient
    changed along it, on this step's batch:

        secant = (w - w₋,  ∇f(w) - ∇f(w₋))

    Four evaluations a step.

    Reference: "Doubly Adaptive Scaled Algorithm for Machine Learning Using Second-Order Information", Majid Jahani,
    Sergey Rusakov, Zheng Shi, Peter Richtárik, Michael W. Mahoney, Martin Takáč, 2022,
    https://arxiv.org/abs/2109.05198
    """
    loss, grads = evaluate()
    z = signs(noise, grads)
    found = evaluate.hvp(z, exact)
    here = [p.clone() for p in params]
    if step == 1:
        return loss, grads, found, z, None, here
    _, before = evaluate([p if q is None else q.to(p.dtype) for p, q in zip(params, last_point, strict=True)])
    secant = [
        None
        if g is None or b is None or q is None
        else torch.stack([sharding.local(p - q), sharding.local(g - b)])
        for p, q, g, b in zip(params, last_point, grads, before, strict=True)
    ]
    return loss, grads, found, z, secant, here


@oracle(provides=("loss", "hvp", "vector"))
def sampled_fisher(
    evaluate: Any, params: Sequence[Tensor], *, refresh: bool = _always,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """The gradient, and in the steps where ``refresh`` holds the gradient ĝ at labels drawn from the model, twice:

        hvp = vector = ĝ,    E[ĝ ⊙ ĝ] = diag(Gauss-Newton) / B    for the mean over B independent labels

    Needs ``piste.closure(..., sampled=...)``. The estimator is Gauss-Newton-Bartlett's.

    Reference: "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training", Hong Liu,
    Zhiyuan Li, David Hall, Percy Liang, Tengyu Ma, 2023, https://arxiv.org/abs/2305.14342
    """
    loss, grads = evaluate()
    if not refresh:
        return loss, grads, None, None
    drawn = evaluate.sampled()[1]
    return loss, grads, drawn, drawn
