"""AdaHessian."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.hutchinson import spatial_hutchinson
from ..schedules import every
from ..transforms.curvature import scale_by_adahessian
from ..transforms.decay import decay_weights, descend


@optimizer
def AdaHessian(
    lr: float = 0.15,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-4,
    weight_decay: float = 0.0,
    hessian_power: float = 1.0,
    update_each: int = 1,
    exact: bool = False,
) -> Chain:
    """Adam with the Hessian's diagonal in the place of the gradient's square.

        D = z ⊙ ∇²f z, z random signs; of a convolution the mean of |D| over each kernel
        m ← β₁m + (1-β₁)g;    v ← β₂v + (1-β₂)D²
        p ← p - η (m̂ / ((√v̂)ᵏ + ε) + λp),  k = ``hessian_power``

    Needs ``step(closure)``. For vision and translation models at a batch that shows the curvature; a step costs three
    evaluations (two more for the product, every ``update_each`` steps), or one and a double backward with ``exact``,
    which needs ``piste.closure`` and whole weights. The authors take lr 0.15 for vision, and advise hessian_power 0.5
    where 1 is unstable.

    Equal to the authors' code (amirgholami/adahessian at 85ebc00) to 1e-16 over 40 steps in float64, on the same probes
    and with ``exact``. Differs: there every step has a probe (``update_each`` is the paper's Hessian delay), and
    products are always by double backward.

    Reference: "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning", Zhewei Yao, Amir Gholami,
    Sheng Shen, Mustafa Mustafa, Kurt Keutzer, Michael W. Mahoney, 2021, https://arxiv.org/abs/2006.00719
    """
    probes = spatial_hutchinson(every(update_each, 1, 1), exact)
    rule = scale_by_adahessian(*betas, eps, hessian_power)
    return chain(probes, rule, decay_weights(weight_decay), descend(lr))
