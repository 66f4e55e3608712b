"""Shampoo's factors in four bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...optimizers import Shampoo4bit
from ..claim import at_most, between, claim
from .wrong import told

FOUR = "4-bit Shampoo for Memory-Efficient Network Training"


@claim(
    "Shampoo4bit",
    FOUR,
    kind="theorem",
    predicts=at_most(0.16),
    tolerance=0.0,
    wrong=told("Shampoo4bit", storage={"basis": "int8", "factor": "int8"}),
    seeds=1,
)
def four_bits_take_a_seventh_of_the_preconditioners_bytes(method: Any, seed: int) -> float:
    """The matrices of a preconditioner take a seventh of what they take in 32 bits, the scales of the blocks included.

    The bytes of all that is kept beside AdamW's moments, over those in 32 bits; 256 × 384.
    """
    w = nn.Parameter(torch.zeros(256, 384))

    def taken(opt: Any) -> int:
        kept = {k: v for k, v in opt.state[w].items() if isinstance(v, Tensor) and "exp_avg" not in k}
        return sum(v.numel() * v.element_size() for v in kept.values())

    wide = {"basis": "fp32", "factor": "fp32"}
    return taken(method([w], lr=0.1)) / taken(Shampoo4bit([w], storage=wide))


def fitted(opt_of: Any, seed: int) -> float:
    """The loss after 150 steps on a matrix problem whose inputs span two decades, the rate falling to 0."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(256, 96, generator=random) * torch.logspace(-1, 1, 96)
    x = x @ torch.linalg.qr(torch.randn(96, 96, generator=random))[0]
    y = x @ torch.randn(96, 64, generator=random) / 10 + torch.randn(256, 64, generator=random)
    w = nn.Parameter(torch.zeros(64, 96))
    opt = opt_of([w])
    for t in range(150):
        opt.param_groups[0]["lr"] = 0.03 * (1 - t / 150)
        rows = torch.randint(256, (64,), generator=random)
        w.grad = (x[rows] @ w.detach().mT - y[rows]).mT @ x[rows] / 64
        opt.step()
    return float((x @ w.detach().mT - y).square().mean())


def in_four_bits(params: Any) -> Any:
    return Shampoo4bit(params, stat_compute_steps=5, prec_compute_steps=10)


def without_eigenvectors(params: Any) -> Any:
    """The same with the statistics themselves in four bits: Shampoo, its factors rounded as they are."""
    from ...optimizers import DistributedShampoo

    return DistributedShampoo(
        params, betas=(0.9, 0.95), epsilon=1e-6, precondition_frequency=10, grafting="adam",
        storage={"L": "int4", "R": "int4"}, merge_dims=False,
    )  # fmt: skip


@claim(
    "Shampoo4bit",
    FOUR,
    kind="empirical",
    predicts=between(0.97, 1.03),
    tolerance=0.0,
    wrong=without_eigenvectors,
    subject=in_four_bits,
    seeds=3,
    scale="a 64 × 96 matrix fitted to 256 samples whose inputs span two decades, 150 steps of 64 samples",
)
def four_bits_end_where_thirty_two_bits_do(method: Any, seed: int) -> float:
    """With its eigenvectors in four bits Shampoo ends where 32 bits do.

    The ratio of the losses in the end. (Over seeds of the batches alone they differ by some percent.)
    """

    def wide(params: Any) -> Any:
        return Shampoo4bit(
            params, stat_compute_steps=5, prec_compute_steps=10, storage={"basis": "fp32", "factor": "fp32"}
        )

    return fitted(method, seed) / fitted(wide, seed)
