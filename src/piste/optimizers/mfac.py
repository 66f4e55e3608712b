"""M-FAC."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.windows import scale_by_mfac


@optimizer
def MFAC(
    lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0, ngrads: int = 32, damp: float = 1e-3
) -> Chain:
    """Natural gradient with the empirical Fisher matrix of the last gradients, without forming it.

        g ← g + λ_w p;   F = λI + (1/m) Σ gᵢgᵢᵀ over the last m gradients, g among them
        u = F⁻¹ g;   v ← μv + (1-μ)u;   p ← p - ηv        all parameters as one vector

    Keeps ``ngrads`` (m) copies of the weights: for models small enough, or with the window in few bits
    (``storage={"window": "bf16"}``); SparseMFAC and LowRankMFAC are made for larger ones. The authors take m = 1024 (or
    512) and ``damp`` (λ) 1e-6 to 1e-5; what counts beside GGᵀ is mλ, so that fewer gradients want a larger λ: the
    defaults here are for a window that fits. A gradient far longer than √(mλ) is shortened to about m/‖g‖; what the
    window does not span is multiplied by 1/λ.

    Equal to the authors' code (IST-DASLab/M-FAC at 8116367, its factorization without pivoting done on the CPU) to
    1e-13 over 40 steps in float64. In float32 λ is raised to the rounding error of GGᵀ where it is below.

    Reference: "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information", Elias Frantar, Eldar Kurtic,
    Dan Alistarh, 2021, https://arxiv.org/abs/2107.03356
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    average = [ema(momentum)] if momentum else []
    return chain(*decay, scale_by_mfac(ngrads, damp), *average, descend(lr))
