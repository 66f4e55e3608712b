"""Directions of the update, seen from the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import probe, total, transform


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

    This is the paper's equation; the authors' code then gives u its length back (:func:`restore_length`).
    """
    defined = param_sq > 0
    return u - torch.where(defined, along / torch.where(defined, param_sq, 1.0), 0.0) * param


@transform(
    invariant=("sign",),
    sums={"grad_sq": total(lambda grad: grad.square()), "update_sq": total(lambda u: u.square())},
)
def restore_length(u: Tensor, grad_sq: Tensor, update_sq: Tensor) -> Tensor:
    """u ‖g‖/‖u‖ over the tensor, g today's gradient: behind ``orthograd`` what its authors' code does. 0 stays 0.

    Reference: "Grokking at the Edge of Numerical Stability", Lucas Prieto, Melih Barsbey, Pedro A.M. Mediano, Tolga
    Birdal, 2025, https://arxiv.org/abs/2501.04697
    """
    defined = update_sq > 0
    return u * torch.where(defined, grad_sq / torch.where(defined, update_sq, 1.0), 0.0).sqrt()


@transform(
    sums={
        "param_sq": total(lambda param: param.square()),
        "grad_sq": total(lambda grad: grad.square()),
        "along": total(lambda param, grad: param * grad),
    },
    outward=probe,
)
def watch_alignment(
    u: Tensor, param_sq: Tensor, grad_sq: Tensor, along: Tensor, outward: Tensor | None
) -> Any:
    """u as it is; the probe ``outward`` shows the cosine of -g and p, tensor by tensor: near 1 the loss falls by
    growing weights and by nothing else (naïve loss minimization). 0 where either is 0.

    Reference: "Grokking at the Edge of Numerical Stability", Lucas Prieto, Melih Barsbey, Pedro A.M. Mediano, Tolga
    Birdal, 2025, https://arxiv.org/abs/2501.04697
    """
    if outward is None:
        return u, None
    size = (param_sq * grad_sq).sqrt()
    defined = size > 0
    return u, torch.where(defined, -along / torch.where(defined, size, 1.0), 0.0).to(torch.float64)
