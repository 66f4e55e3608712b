"""Gradient clipping in front of plain SGD: by value, by global norm, per unit, per component, and by z-score.

Sources:
- Pascanu, Mikolov and Bengio, "On the difficulty of training Recurrent Neural Networks" (2013),
  https://arxiv.org/abs/1211.5063, algorithm 1: the gradient of all parameters together is scaled to norm c
  when it is longer.
- Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization"
  (2021), https://arxiv.org/abs/2102.06171 (adaptive gradient clipping); authors' code
  https://github.com/google-deepmind/deepmind-research/tree/master/nfnets

- Yang and Ma, "Improving Stability of Fine-Tuning Pretrained Language Models via Component-Wise Gradient Norm
  Clipping" (2022), https://arxiv.org/abs/2210.10325; authors' code https://github.com/yangalan123/FineTuningStability
- Kumar, Owen, Chowdhury and Güra, "ZClip: Adaptive Spike Mitigation for LLM Pre-Training" (2025),
  https://arxiv.org/abs/2504.02507; authors' code https://github.com/bluorion-com/ZClip

    value:        g ← clamp(g, -c, c)
    global norm:  g ← g min(1, c / (‖all g‖ + δ))
    per unit:     gᵢ ← gᵢ min(1, c max(‖wᵢ‖, ε) / ‖gᵢ‖)        i: one output unit
    component:    g_c ← g_c min(1, c / ‖g_c‖)                      c: one tensor
    z-score:      see `ZScore`

δ is 0 in the paper; torch.nn.utils.clip_grad_norm_ has 1e-6. A unit is a row of a torch weight (axis 0 is the
output; the authors' JAX weights have it last); vectors and scalars are clipped as one unit. The authors leave
the final linear layer unclipped and guard ‖gᵢ‖ by 1e-6, which never acts when the clip does.
"""

from __future__ import annotations

import torch
from torch import Tensor


def by_value(grads: list[Tensor], clip_value: float) -> list[Tensor]:
    return [g.clamp(-clip_value, clip_value) for g in grads]


def by_global_norm(grads: list[Tensor], max_norm: float, delta: float = 0.0) -> list[Tensor]:
    total = sum(g.square().sum() for g in grads)
    norm = torch.as_tensor(total).sqrt()
    return [g * max_norm / (norm + delta) if norm + delta > max_norm else g for g in grads]


def unit_norms(x: Tensor) -> Tensor:
    if x.squeeze().ndim <= 1:
        return x.norm()
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))


def by_unit(params: list[Tensor], grads: list[Tensor], clipping: float, eps: float = 1e-3) -> list[Tensor]:
    clipped = []
    for w, g in zip(params, grads):
        bound, size = clipping * unit_norms(w).clamp(min=eps), unit_norms(g)
        clipped.append(torch.where(size > bound, g * bound / size.clamp(min=1e-6), g))
    return clipped


def by_component(grads: list[Tensor], max_norm: float) -> list[Tensor]:
    return [g * min(1.0, max_norm / float(g.norm())) for g in grads]


class ZScore:
    """The length to which a norm is cut: mean and variance (not the sample's) of the first norms, then averages."""

    def __init__(self, alpha: float = 0.97, z_thresh: float = 2.5, warmup_steps: int = 25) -> None:
        self.alpha, self.z_thresh, self.warmup_steps = alpha, z_thresh, warmup_steps
        self.first: list[float] = []
        self.mean = self.var = 0.0

    def __call__(self, norm: float) -> float:
        if len(self.first) < self.warmup_steps:
            self.first.append(norm)
            self.mean = sum(self.first) / len(self.first)
            self.var = sum((n - self.mean) ** 2 for n in self.first) / len(self.first)
            return norm
        z = (norm - self.mean) / (self.var**0.5 + 1e-6)
        cut = self.mean + self.z_thresh * self.var**0.5 / (z / self.z_thresh) if z > self.z_thresh else norm
        self.mean = self.alpha * self.mean + (1 - self.alpha) * cut
        self.var = self.alpha * self.var + (1 - self.alpha) * (cut - self.mean) ** 2
        return cut


def by_zscore(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1, max_norm: float = 1.0, **hyper: float
) -> list[Tensor]:
    cut = ZScore(**hyper)  # type: ignore[arg-type]
    for row in grads:
        norm = float(sum(g.square().sum() for g in row)) ** 0.5
        scale = min(1.0, cut(norm) / norm, max_norm / norm)
        params = [w - lr * scale * g for w, g in zip(params, row)]
    return params


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    clip_value: float | None = None,
    max_norm: float | None = None,
    clipping: float | None = None,
    component: float | None = None,
    delta: float = 0.0,
    eps: float = 1e-3,
) -> list[Tensor]:
    """SGD on gradients clipped by whichever of the four is given (in the order value, norm, unit, component)."""
    for step in grads:
        if clip_value is not None:
            step = by_value(step, clip_value)
        if max_norm is not None:
            step = by_global_norm(step, max_norm, delta)
        if clipping is not None:
            step = by_unit(params, step, clipping, eps)
        if component is not None:
            step = by_component(step, component)
        params = [w - lr * g for w, g in zip(params, step)]
    return params
