"""Curvature by random probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .._transform import oracle


def _always(step: int) -> bool:
    return True


@oracle(provides=("loss", "hvp", "vector"))
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
    signs = [z.sign() + (z == 0) for z in noise]  # a normal is 0 once in 2²⁴ draws
    held = [None if g is None else z for z, g in zip(signs, grads, strict=True)]
    return loss, grads, evaluate.hvp(held, exact), held
