"""Bounds on the update: by the whole model's norm, fixed or from its past, by component, by unit, by value.

They belong in front of a normalizing rule.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import probe, scalar, total, transform
from ._numbers import where, wide


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


@transform(scope="tensor", invariant=("sign", "transpose"), clips=True, clipped=probe)
def clip_by_component_norm(u: Tensor, clipped: Tensor | None, *, max_norm: float = 1.0) -> Any:
    """u_c min(1, c/‖u_c‖) for every component c of the model by itself: a fast one does not use up what is allowed to
    all, and slow ones are not held back by it.

    For fine-tuning, where components (queries, keys, values, feed-forward, embeddings, head) learn at different
    speeds. A component is a parameter, as in the authors' code, and where a parameter is fused each of the matrices
    that its view shows: given a module, query, key and value, or the experts of a stack. Where no parameter is fused
    :func:`clip_by_tensor_norm` is the same and cheaper on shards. The authors try thresholds from 0.01 to 5.

    Differs from their code (yangalan123/FineTuningStability at a75412a) by its 1e-6 beside the norm, which is torch's.

    Reference: "Improving Stability of Fine-Tuning Pretrained Language Models via Component-Wise Gradient Norm
    Clipping", Chenghao Yang, Xuezhe Ma, 2022, https://arxiv.org/abs/2210.10325
    """
    norm = torch.linalg.vector_norm(u, dim=(-2, -1), keepdim=True)
    above = norm > max_norm
    return u * torch.where(above, max_norm / torch.where(above, norm, 1.0), 1.0), _share(clipped, above)


@transform(
    invariant=("sign",),
    sums={"norm_sq": total(lambda u: u.square(), over="tree")},
    clips=True,
    norm_mean=scalar(shared=True),
    norm_var=scalar(shared=True),
    clipped=probe,
)
def clip_by_zscore(
    u: Tensor, norm_sq: Tensor, step: Any, norm_mean: Tensor, norm_var: Tensor, clipped: Tensor | None, *,
    alpha: float = 0.97, z_thresh: float = 2.5, max_norm: float = 1.0, warmup_steps: int = 25, eps: float = 1e-6,
) -> Any:  # fmt: skip
    """Clips the norm ‖u‖ over all parameters where it is an outlier among those before it:

        z = (‖u‖ - μ) / (σ + ε);    n = μ + σ z₀²/z where z > z₀, else ‖u‖;    u ← u min(n, c) / ‖u‖
        μ ← αμ + (1-α)n;    σ² ← ασ² + (1-α)(n - μ)²

    so that the larger the spike the closer to the mean it is cut, and what was cut is what the averages see. Over the
    first ``warmup_steps`` μ and σ² are the mean and the variance of the norms so far, and only c cuts. For long
    pre-training with rare spikes, in place of a fixed threshold; a large ``max_norm`` leaves c out. The defaults are
    those of the authors' code; for gradients that are more volatile they advise α from 0.9 to 0.95 and z₀ = 2.

    Equal to the authors' code (bluorion-com/ZClip at 584ce4f, "zscore" with "adaptive_scaling", clip_factor 1) in the
    averages to 4e-14, and in the weights to 7e-8 over 40 steps of SGD in float64, which is the 1e-6 that it adds to the
    norm.

    Reference: "ZClip: Adaptive Spike Mitigation for LLM Pre-Training", Abhay Kumar, Louis Owen, Nilabhra Roy Chowdhury,
    Fabian Güra, 2025, https://arxiv.org/abs/2504.02507
    """
    norm, starting = wide(norm_sq).sqrt(), step <= warmup_steps
    deviation = norm_var.sqrt()
    z = (norm - norm_mean) / (deviation + eps)
    spike = where(starting, torch.zeros_like(z), z) > z_thresh
    seen = torch.where(spike, norm_mean + z_thresh**2 * deviation / torch.where(spike, z, 1.0), norm)
    share = where(starting, 1 / step, 1 - alpha)
    mean = norm_mean + share * (seen - norm_mean)
    spread = where(starting, (norm - norm_mean) * (norm - mean), (seen - mean).square())
    most = torch.minimum(seen, torch.full_like(seen, 1.0) * max_norm)
    above = norm > most
    scale = torch.where(above, most / torch.where(above, norm, 1.0), 1.0)
    return u * scale.to(u.dtype), mean, norm_var + share * (spread - norm_var), _share(clipped, above)
