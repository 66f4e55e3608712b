"""Full-matrix preconditioning from a window of the last gradients, all parameters being one vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import ring, scalar, transform
from ..linalg.windows import damped, rooted, shifted

gram = scalar("ngrads ngrads")  # of what one parameter adds to the rows' products; their sum is the window's


@transform(scope="tree", invariant=("sign",), window=ring("ngrads"), products=gram)
def scale_by_mfac(
    g: Tensor, dot: Any, window: Tensor, products: Tensor, *, ngrads: int = 32, damp: float = 1e-3
) -> Any:
    """u = (λI + GᵀG / m)⁻¹ g, G the last m = ``ngrads`` gradients with g the newest: the inverse of the damped
    empirical Fisher matrix, taken at its newest gradient.

        K = GGᵀ (kept: a step computes its new row only);    u = m Gᵀ (mλI + K)⁻¹ e_m

    O(dm) for d weights, and O(m³). Rows that are not there yet are zero and count in m, as in the authors' code.

    Reference: "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information", Elias Frantar, Eldar Kurtic,
    Dan Alistarh, 2021, https://arxiv.org/abs/2107.03356
    """
    found = dot(window, torch.stack((window[-1], g)), apart=True)
    products = shifted(products, found[..., 0], found[..., 1], dot(g, g, apart=True))
    x = damped(products.sum(0), damp, g.dtype).to(g.dtype)
    return x[-1] * g + x[:-1] @ window[1:], g, products


@transform(scope="tree", holds=("inner",), window=ring("ngrads"), products=gram)
def scale_by_ggt(
    g: Tensor, inner: Any, dot: Any, window: Tensor, products: Tensor, *, ngrads: int = 32, beta2: float = 1.0,
    eps: float = 1e-2,
) -> Any:  # fmt: skip
    """u = [(GᵀG)^½ + εI]⁻¹ inner(g), the rows of G being g, β₂ times the gradient before it, β₂² times the next, ...

        DKD = VΣ²Vᵀ,  K the products of the last m = ``ngrads`` gradients, D = diag(β₂ᵐ⁻¹, ..., β₂, 1)
        u = (v - GᵀV [Σ (Σ + ε)]⁻¹ VᵀGv) / ε,  v = inner(g)

    AdaGrad with the full matrix of the last m gradients. ``inner`` is what is preconditioned (the gradient's average);
    what of it lies outside the window is multiplied by 1/ε.

    Reference: "Efficient Full-Matrix Adaptive Regularization", Naman Agarwal, Brian Bullins, Xinyi Chen, Elad Hazan,
    Karan Singh, Cyril Zhang, Yi Zhang, 2019, https://proceedings.mlr.press/v97/agarwal19b.html
    """
    v = inner(g)
    found = dot(window, torch.stack((window[-1], g, v)), apart=True)
    products = shifted(products, found[..., 0], found[..., 1], dot(g, g, apart=True))
    ages = torch.arange(ngrads - 1, -1, -1, dtype=products.dtype, device=products.device)
    decay = torch.as_tensor(beta2, dtype=products.dtype, device=products.device) ** ages
    along = torch.cat([found[..., 2].sum(0)[1:], dot(g, v).reshape(1)])
    x = rooted(decay.unsqueeze(-1) * products.sum(0) * decay, decay * along, eps, g.dtype)
    x = (decay * x).to(g.dtype)
    return (v - x[-1] * g - x[:-1] @ window[1:]) / eps, g, products
