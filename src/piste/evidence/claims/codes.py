"""What fewer bits keep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._storage.resolve import CODECS
from ..claim import at_least, at_most, claim
from .wrong import told

EIGHT = "8-bit Optimizers via Block-wise Quantization"
FOUR = "4-bit Shampoo for Memory-Efficient Network Training"
BF16 = "Revisiting BFloat16 Training"


def stored(codec: Any, x: Tensor, kind: str) -> Tensor:
    """What comes back of a tensor."""
    parts = codec.parts(tuple(x.shape), kind)
    empty = {k: torch.zeros(shape, dtype=dtype) for k, (shape, dtype) in parts.items()}
    return codec.decode(codec.encode(x.float(), empty)).view(x.shape).double()


def blockwise(x: Tensor) -> Tensor:
    return stored(CODECS["int8_dynamic"]("moment"), x, "moment")


def as_one_block(x: Tensor) -> Tensor:
    """The same code with one scale for all."""
    rows = x.reshape(1, -1) / x.abs().max()
    # cut into blocks that each carry the largest entry along, so that all have the same scale
    parts = torch.cat([rows.reshape(-1, 128), torch.ones(x.numel() // 128, 128, dtype=x.dtype)], 1)
    return (stored(CODECS["int8_dynamic"]("moment"), parts, "moment")[:, :128] * x.abs().max()).reshape(
        x.shape
    )


@claim(
    "8-bit codes",
    EIGHT,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=as_one_block,
    subject=blockwise,
    seeds=4,
    scale="65,536 Gaussian numbers, one outlier of 1e6 deviations",
)
def an_outlier_spoils_its_own_block_only(method: Any, seed: int) -> float:
    """With a scale for each block an outlier leaves the precision of other blocks as it is.

    The relative error of all other rows with the outlier, over that without it.
    """
    x = torch.randn(256, 256, dtype=torch.float64)
    plain = float((method(x) - x)[1:].norm())
    x[0, 0] = 1e6
    return float((method(x) - x)[1:].norm()) / plain


def by_eigenvectors(a: Tensor) -> Tensor:
    """A^(-1/4) with the eigenvectors of A in four bits."""
    values, vectors = torch.linalg.eigh(a)
    vectors = stored(CODECS["eigen4"]("basis"), vectors, "basis")
    return (vectors * values ** (-0.25)) @ vectors.mT


def by_factor(a: Tensor) -> Tensor:
    """A^(-1/4) of A in four bits; what the rounding makes negative is raised to the least eigenvalue of A."""
    rough = stored(CODECS["int4"]("factor"), a, "factor")
    values, vectors = torch.linalg.eigh((rough + rough.mT) / 2)
    return (vectors * values.clamp(min=float(torch.linalg.eigvalsh(a)[0])) ** (-0.25)) @ vectors.mT


@claim(
    "4-bit codes",
    FOUR,
    kind="empirical",
    predicts=at_least(2.0),
    tolerance=0.0,
    wrong=by_factor,
    subject=by_eigenvectors,
    seeds=4,
    scale="128 × 128, eigenvalues spaced evenly in their logarithm, condition number 10,000",
)
def quantized_eigenvectors_keep_the_root_better_than_a_quantized_factor(method: Any, seed: int) -> float:
    """At large condition numbers four bits on the eigenvectors leave a far smaller error in A^(-1/4) than on A.

    The relative error with A in four bits, over the method's.
    """
    q = torch.linalg.qr(torch.randn(128, 128, dtype=torch.float64))[0]
    values = torch.logspace(-4, 0, 128, dtype=torch.float64)
    a, right = (q * values) @ q.mT, (q * values ** (-0.25)) @ q.mT
    return float((by_factor(a) - right).norm() / (method(a) - right).norm())


@claim(
    "SGD",
    BF16,
    kind="empirical",
    predicts=at_most(0.05),
    tolerance=0.0,
    wrong=told("SGD", storage=None),
    seeds=3,
    scale="1,000 steps of about 1e-4 from weights around 1",
)
def small_steps_add_up_in_bf16_with_kahan_sums(method: Any, seed: int) -> float:
    """Steps below half a unit of a bf16 weight are lost by rounding to nearest, and kept by compensated sums.

    The relative difference of the way gone, 0.1, from the exact one; half a unit of the weight that is seen at the
    end is 4 % of it.
    """
    start = (1 + torch.rand(64)).bfloat16()
    w = torch.nn.Parameter(start.clone())
    opt = method([w], lr=1e-4, storage={"param": "bf16_kahan"})
    for _ in range(1000):
        w.grad = torch.ones_like(w)
        opt.step()
    return float((1 - (start.double() - w.detach().double()) / 0.1).abs().mean())
