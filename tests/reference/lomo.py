"""LOMO: gradient descent, one parameter at a time.

Source: Lv, Yang, Liu, Gao, Guo and Qiu, "Full Parameter Fine-tuning for Large Language Models with Limited Resources"
(2023), https://arxiv.org/abs/2306.09782; authors' code https://github.com/OpenLMLab/LOMO

    w ← (1 - η λ) w - η min(max(g, -c), c)
"""

from __future__ import annotations

from torch import Tensor

CASE = dict(hyper={"clip_grad_value": 0.3, "lr": 0.01})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, weight_decay: float = 0.0,
    clip_grad_value: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    final = []
    for i, w in enumerate(params):
        for row in grads:
            g = row[i].clamp(-clip_grad_value, clip_grad_value) if clip_grad_value else row[i]
            w = (1 - lr * weight_decay) * w - lr * g
        final.append(w)
    return final
