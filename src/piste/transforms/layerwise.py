"""Step lengths by tensor, from norms."""

from __future__ import annotations

import torch
from torch import Tensor

from .._transform import mean, total, transform


@transform(
    invariant=("sign", "scale", "transpose"),
    sums={"param_sq": total(lambda param: param.square()), "update_sq": total(lambda u: u.square())},
)
def scale_by_trust_ratio(u: Tensor, param_sq: Tensor, update_sq: Tensor) -> Tensor:
    """u ‖p‖/‖u‖ over the whole tensor, and u itself where either norm is 0.

    Reference: "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", Yang You, Jing Li,
    Sashank Reddi, Jonathan Hseu, Sanjiv Kumar, Srinadh Bhojanapalli, Xiaodan Song, James Demmel, Kurt Keutzer,
    Cho-Jui Hsieh, 2020, https://arxiv.org/abs/1904.00962
    """
    defined = (param_sq > 0) & (update_sq > 0)
    ratio = (param_sq / torch.where(defined, update_sq, 1.0)).sqrt()
    return u * torch.where(defined, ratio, 1.0)


@transform(
    invariant=("sign", "scale", "transpose"), sums={"mean_sq": mean(lambda u: u.square())}, normalizes=True
)
def normalize_rms(u: Tensor, mean_sq: Tensor) -> Tensor:
    """u divided by its root mean square over the tensor.

    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    """
    return u / (mean_sq.sqrt() + 1e-30)
