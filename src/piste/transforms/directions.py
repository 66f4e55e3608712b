"""Directions of the update, seen from the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from .._transform import total, transform


@transform(
    invariant=("sign",),
    sums={"param_sq": total(lambda param: param.square()), "along": total(lambda param, u: param * u)},
)
def orthograd(u: Tensor, param: Tensor, param_sq: Tensor, along: Tensor) -> Tensor:
    """⊥Grad: u - (pᵀu/‖p‖²) p, the part of the update that leaves the tensor's norm as it is, to first order; u itself
    where p is 0.

    It goes in front of a rule: in networks that are homogeneous in their weights, what it takes away scales the logits
    and nothing else.

    Reference: "Grokking at the Edge of Numerical Stability", Lucas Prieto, Melih Barsbey, Pedro A.M. Mediano, Tolga
    Birdal, 2025, https://arxiv.org/abs/2501.04697

    Deviations from the authors' code: theirs then restores the length of u; this is the paper's equation.
    """
    defined = param_sq > 0
    return u - torch.where(defined, along / torch.where(defined, param_sq, 1.0), 0.0) * param
