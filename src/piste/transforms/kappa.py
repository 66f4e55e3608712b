"""Lion with another convex function in the place of the sum of magnitudes: momentum, shaped by a subgradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, transform


@transform(invariant=("sign",), holds=("kappa",), exp_avg=moment)
def scale_by_lion_kappa(g: Tensor, kappa: Any, exp_avg: Tensor, *, beta1: float, beta2: float) -> Any:
    """u = ∇K(β₁m + (1-β₁)g), then m ← β₂m + (1-β₂)g; the chain ``kappa`` is ∇K, for a convex K with K(-m) = K(m).

    With decay λ behind it the weights go to a minimum of f(x) + K*(λx)/λ, K* the convex conjugate. Where ∇K is bounded
    K* is infinite outside a set, which x/λ enters and keeps to; ``take_sign`` is Lion, and its set the box of side 1/λ.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898
    """
    return kappa(exp_avg.lerp(g, 1 - beta1)), exp_avg.lerp(g, 1 - beta2)


@transform(invariant=("sign", "transpose"))
def clip_to_sign(u: Tensor, *, width: float) -> Tensor:
    """u ← clamp(u/e, -1, 1), e = ``width``: the gradient of Huber's function, linear to e and the sign from there on.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898
    """
    return (u / width).clamp(-1.0, 1.0)


@transform(invariant=("sign", "transpose"))
def soften_sign(u: Tensor, *, width: float) -> Tensor:
    """u ← tanh(u/e), e = ``width``: the gradient of e Σ log cosh(u/e), whose conjugate is an entropy on the box.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898
    """
    return (u / width).tanh()


@transform(invariant=("sign", "transpose"))
def sign_beyond(u: Tensor, *, width: float) -> Tensor:
    """u ← sign u where |u| > e = ``width``, else 0: the gradient of Σ max(|u| - e, 0), whose conjugate is e‖·‖₁ on the
    box.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898
    """
    return torch.where(u.abs() > width, u.sign(), 0.0)


# of scope "tensor" though sums would do: a chain that is held is not given sums over what lies elsewhere


@transform(scope="tensor", normalizes=True, invariant=("sign", "scale", "transpose"))
def take_unit(u: Tensor) -> Tensor:
    """u ← u/‖u‖ over the tensor, 0 where it is 0: the gradient of the Euclidean norm.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898
    """
    return _divided(u, torch.linalg.vector_norm(u, dim=(-2, -1), keepdim=True))


@transform(scope="tensor", normalizes=True, invariant=("sign", "scale"))
def take_unit_rows(u: Tensor) -> Tensor:
    """Every row ← itself over its length, 0 where it is 0: the gradient of the sum of the rows' norms.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898
    """
    return _divided(u, torch.linalg.vector_norm(u, dim=-1, keepdim=True))


def _divided(u: Tensor, size: Tensor) -> Tensor:
    return torch.where(size > 0, u / torch.where(size > 0, size, 1.0), 0.0)
