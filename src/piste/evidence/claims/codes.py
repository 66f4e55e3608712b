"""What fewer bits keep."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._storage.resolve import CODECS
from ...optimizers import AdamW
from ..claim import at_least, at_most, between, claim
from .wrong import told

EIGHT = "8-bit Optimizers via Block-wise Quantization"
FOUR = "4-bit Shampoo for Memory-Efficient Network Training"
STATES = "Memory Efficient Optimizers with 4-bit States"
LIMITED = "Deep Learning with Limited Numerical Precision"
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


def eight_bit(params: Any) -> Any:
    return AdamW(params, storage="8bit")


def sixteen_bit(params: Any) -> Any:
    return AdamW(params, storage="bf16")


@claim(
    "8-bit codes",
    EIGHT,
    kind="theorem",
    predicts=at_most(0.26),
    tolerance=0.0,
    wrong=sixteen_bit,
    subject=eight_bit,
    seeds=1,
)
def states_of_eight_bits_take_a_quarter_of_the_bytes(method: Any, seed: int) -> float:
    """States in eight bits, the scales of their blocks included, take a quarter of what they take in 32.

    Bytes of AdamW's state of a layer of 1,024 × 256, over those in 32 bits.
    """
    w = torch.nn.Parameter(torch.zeros(1024, 256))
    return method([w]).state_bytes() / AdamW([w]).state_bytes()


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


@claim(
    "SGD",
    LIMITED,
    kind="theorem",
    predicts=at_most(4.5),
    tolerance=0.0,
    wrong=told("SGD", storage=None),
    seeds=1,
)
def rounding_at_random_keeps_the_mean(method: Any, seed: int) -> float:
    """With stochastic rounding the expected weight is the exact one, however small the steps.

    The distance of the mean way of 16,384 bf16 weights from the exact one after 100 steps of 1e-4 from 1.5, half a
    unit of which is 4e-3; in standard errors of that mean, one step of a share p of the unit having the deviation
    √(p (1 - p)) of it.
    """
    w = torch.nn.Parameter(torch.full((128, 128), 1.5 + 2.0**-7 * (seed % 8), dtype=torch.bfloat16))
    start, opt = w.detach().double(), method([w], lr=1e-4, storage={"param": "bf16_stochastic"})
    for _ in range(100):
        w.grad = torch.ones_like(w)
        opt.step()
    unit = 2.0**-7  # of bf16 between 1 and 2
    share = 1e-4 / unit
    error = unit * math.sqrt(100 * share * (1 - share) / w.numel())
    return abs(float((start - w.detach().double()).mean()) - 0.01) / error


def positive(v: Tensor) -> Tensor:
    """A second moment in four bits."""
    return stored(CODECS["int4"]("square"), v, "square")


def with_zero(v: Tensor) -> Tensor:
    """The same in a code for numbers of both signs, which has a zero."""
    return stored(CODECS["int4"]("moment"), v, "moment")


@claim(
    "4-bit codes",
    STATES,
    kind="theorem",
    predicts=at_most(math.sqrt(1.5)),
    tolerance=1e-6,
    wrong=with_zero,
    subject=positive,
    seeds=3,
)
def second_moments_without_a_zero_make_no_huge_steps(method: Any, seed: int) -> float:
    """A second moment that is rounded to zero makes a huge step; with evenly spaced codes 1/16, 2/16 … of the largest,
    none of them zero, 1/√v grows by at most √(3/2).

    The largest ratio of 1/√v after and before, over 65,536 numbers from 1e-8 to 1.
    """
    v = 10 ** (-8 * torch.rand(256, 256, dtype=torch.float64))
    return float((v / method(v)).sqrt().max())


def in_linear_codes(params: Any, storage: Any, **hyper: Any) -> Any:
    """AdamW, with evenly spaced codes wherever it is asked for codes."""
    even = {"moment": "int8_linear", "square": "int8_linear"}
    return AdamW(params, storage=None if storage is None else even, **hyper)


@claim(
    "AdamW",
    EIGHT,
    kind="empirical",
    predicts=between(0.95, 1.05),
    tolerance=0.0,
    wrong=in_linear_codes,
    seeds=3,
    scale="a 64 × 128 matrix fitted to data whose columns span four decades, 150 steps",
)
def eight_bits_end_where_thirty_two_do(method: Any, seed: int) -> float:
    """With its moments in eight bits, block by block and with codes denser near zero, AdamW ends where 32 bits do.

    The ratio of the losses in the end, the rate falling to 0.
    """
    coded, plain = (_fitted(method, seed, storage) for storage in ("8bit", None))
    return coded / plain


def _fitted(method: Any, seed: int, storage: Any) -> float:
    random = torch.Generator().manual_seed(seed)
    x = (
        torch.randn(256, 128, generator=random)
        * torch.logspace(-2, 2, 128)[torch.randperm(128, generator=random)]
    )
    y = torch.randn(256, 64, generator=random)
    w = torch.nn.Parameter(torch.zeros(64, 128))
    opt = method([w], lr=1.0, weight_decay=0.0, storage=storage)
    for t in range(150):
        opt.param_groups[0]["lr"] = 0.03 * (1 - t / 150)
        w.grad = (x @ w.detach().mT - y).mT @ x / 256
        opt.step()
    return float((x @ w.detach().mT - y).square().mean())
