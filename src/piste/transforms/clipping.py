"""Bounds on the update: by the whole model's norm, by value, by unit. They belong in front of a normalizing rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import probe, total, transform


def _share(looked_at: Tensor | None, touched: Tensor) -> Tensor | None:
    """What a probe shows: the share that was clipped; nothing while nobody looks."""
    return None if looked_at is None else touched.to(torch.float64).mean()


@transform(
    invariant=("sign",), sums={"norm_sq": total(lambda u: u.square(), over="tree")}, clips=True, clipped=probe
)
def clip_by_global_norm(u: Tensor, norm_sq: Tensor, clipped: Tensor | None, *, max_norm: float) -> Any:
    """u min(1, c/‖u‖), the norm taken over all parameters of the optimizer.

    Equal to ``torch.nn.utils.clip_grad_norm_`` but for its 1e-6 in the denominator. ``max_norm`` 1.0 is the usual
    choice for language models.

    Reference: "On the difficulty of training Recurrent Neural Networks", Razvan Pascanu, Tomas Mikolov,
    Yoshua Bengio, 2013, https://arxiv.org/abs/1211.5063
    """
    norm = norm_sq.sqrt()
    above = norm > max_norm
    return u * torch.where(above, max_norm / torch.where(above, norm, 1.0), 1.0), _share(clipped, above)


@transform(invariant=("sign", "transpose"), clips=True, clipped=probe)
def clip_by_value(u: Tensor, clipped: Tensor | None, *, max_value: float) -> Any:
    """Every coordinate held to [-c, c], as ``torch.nn.utils.clip_grad_value_``: it turns the direction.

    Reference: "Statistical Language Models Based on Neural Networks", Tomas Mikolov, 2012,
    https://www.fit.vutbr.cz/~imikolov/rnnlm/thesis.pdf
    """
    above = u.abs() > max_value
    return torch.where(above, u.sign() * max_value, u), _share(clipped, above)


@transform(
    invariant=("sign",),
    sums={
        "param_sq": total(lambda param: param.square(), over="row"),
        "update_sq": total(lambda u: u.square(), over="row"),
    },
    clips=True,
    clipped=probe,
)
def clip_by_unit_norm(
    u: Tensor, param_sq: Tensor, update_sq: Tensor, clipped: Tensor | None, *, clipping: float = 0.01,
    eps: float = 1e-3,
) -> Any:  # fmt: skip
    """Adaptive gradient clipping: u_i min(1, c max(‖p_i‖, ε)/‖u_i‖) for every unit i, a row of the matrix.

    A vector counts as one unit, as in the authors' code. They take c = 0.01 at batch size 4096, find that smaller
    batches bear larger ones, and leave the last linear layer unclipped.

    Reference: "High-Performance Large-Scale Image Recognition Without Normalization", Andrew Brock, Soham De,
    Samuel L. Smith, Karen Simonyan, 2021, https://arxiv.org/abs/2102.06171
    """
    most = clipping * param_sq.sqrt().clamp(min=eps)
    norm = update_sq.sqrt()
    above = norm > most
    return u * torch.where(above, most / torch.where(above, norm, 1.0), 1.0), _share(clipped, above)
