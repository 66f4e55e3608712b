"""Steepest descent in the largest RMS of a row: gᵢ ← D gᵢ / rms(gᵢ), D = Σᵢ √n ‖gᵢ‖ = Σᵢ n rms(gᵢ), n numbers to a row.

Source: Bernstein and Newhouse, "Old Optimizer, New Norm: An Anthology" (2024), https://arxiv.org/abs/2409.20325 (the
operator norm from ℓ1 to RMS of an embedding whose table is stored with a token to a row)

A tensor is a matrix [first axis, the others], a vector one row.
"""

from __future__ import annotations

from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1, weight_decay: float = 0.0
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        for step in grads:
            rows = step[i].reshape(len(w), -1) if w.ndim > 1 else step[i].reshape(1, -1)
            n = rows.shape[1]
            rms = rows.norm(dim=1, keepdim=True) / n**0.5
            w = w - lr * (n * rms.sum() * (rows / rms).reshape(w.shape) + weight_decay * w)
        final.append(w)
    return final
