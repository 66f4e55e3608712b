"""M-FAC."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.windows import scale_by_mfac


@optimizer
def MFAC(
    lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0, ngrads: int = 32, damp: float = 1e-5
) -> Chain:
    """Natural gradient with the empirical Fisher matrix of the last gradients, without forming it.

        g ← g + λ_w p;   F = λI + (1/m) Σ gᵢgᵢᵀ over the last m gradients, g among them
        u = F⁻¹ g;   v ← μv + (1-μ)u;   p ← p - ηv        all parameters as one vector

    Keeps ``ngrads`` copies of the weights: for models small enough, or with the window in few bits
    (``storage={"window": "bf16"}``); SparseMFAC and LowRankMFAC are made for larger ones. The authors' code has m =
    1024 by default, their experiments 512 and 1024 with ``damp`` (λ) 1e-6 to 1e-5; the default here is one that fits.
    Where rows of the window are alike, λ is all that bounds the step: raise it when training is unstable. A gradient
    that is far longer than √(mλ) is shortened to about m / ‖g‖.

    Same as the authors' code, which solves by recursion what is solved here through the eigenvalues of GGᵀ.

    Reference: "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information", Elias Frantar, Eldar Kurtic,
    Dan Alistarh, 2021, https://arxiv.org/abs/2107.03356
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    average = [ema(momentum)] if momentum else []
    return chain(*decay, scale_by_mfac(ngrads, damp), *average, descend(lr))
