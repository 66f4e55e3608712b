"""How Shampoo's and K-FAC's rates, dampings and initial weights change with width, so that features learn alike.

Let a layer's inputs be ``r_in`` times as many as in a narrow model where the hyperparameters were tuned, its outputs
``r_out`` times as many (1 where an axis does not grow). With features of size 1 and backward signals of size 1/r_out
its gradient has singular values of size s = √(r_in/r_out), and its step must have those of size 1/s: then every
feature moves by an amount that does not depend on the width. So

    init      std ∝ r_in^(-1/2) min(1, √(r_out/r_in))
    Shampoo   L^(-a) G R^(-a):         η ∝ (r_in/r_out)^(2a-1),          ε ∝ r_in/r_out           a = 1/4: √(r_out/r_in)
    a vector  R^(-b) g:                η ∝ r_out^(1-b),                  ε ∝ 1/r_out
    K-FAC     B^(-e_B) G A^(-e_A):     η ∝ r_out^(1-e_B) r_in^(e_A-1),   ρ_A ∝ r_in,   ρ_B ∝ 1/r_out

For input, hidden and output layers these are the paper's exponents: with e_A = e_B = 1 K-FAC's rate is the same at all
widths. K-FAC should not start from an output layer of zeros: its first step then leads to the kernel regime.

Reference: "On the Parameterization of Second-Order Optimization Effective Towards the Infinite Width", Satoki Ishikawa,
Ryo Karakida, 2024, https://arxiv.org/abs/2312.12226
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Width(NamedTuple):
    """How many times the narrow model's inputs and outputs a parameter has, and whether it is a matrix."""

    r_in: float
    r_out: float
    matrix: bool = True


class Factors(NamedTuple):
    """What to multiply the narrow model's standard deviation, rate and dampings with: of L and R for Shampoo, which has
    one, of A and B for K-FAC."""

    init: float
    lr: float
    damping: tuple[float, float]


def shampoo(width: Width, exponents: tuple[float, float] = (0.5, 0.25)) -> Factors:
    """Of Shampoo, whose ``exponents`` are those of a tensor with one factor and with two."""
    r_in, r_out, matrix = width
    rate = (r_in / r_out) ** (2 * exponents[1] - 1) if matrix else r_out ** (1 - exponents[0])
    return Factors(_init(width), rate, (r_in / r_out, r_in / r_out))


def kfac(width: Width, e_A: float = 1.0, e_B: float = 1.0) -> Factors:
    """Of K-FAC with the powers -e_A and -e_B of the two factors."""
    r_in, r_out, _ = width
    return Factors(_init(width), r_out ** (1 - e_B) * r_in ** (e_A - 1), (r_in, 1 / r_out))


def _init(width: Width) -> float:
    return width.r_in**-0.5 * min(1.0, math.sqrt(width.r_out / width.r_in))


def widths(model: nn.Module, narrow: nn.Module) -> dict[str, Width]:
    """Of every parameter, from those of the same name in the ``narrow`` model.

    Errors (ValueError): a parameter the narrow model lacks, or has with another number of axes.
    """
    base = dict(narrow.named_parameters())
    found = {}
    for name, p in model.named_parameters():
        if name not in base or base[name].dim() != p.dim():
            raise ValueError(f"parameter {name!r} has no counterpart of {p.dim()} axes in the narrow model: build both "
                             "from the same code, with another width")  # fmt: skip
        now, then = _fans(p), _fans(base[name])
        found[name] = Width(now[0] / then[0], now[1] / then[1], p.dim() > 1)
    return found


def _fans(p: Tensor) -> tuple[int, int]:
    """Inputs and outputs of a weight [out, in, ...] or a bias [out]."""
    return (p.shape[1:].numel(), p.shape[0]) if p.dim() > 1 else (1, max(1, p.numel()))


def shampoo_groups(
    model: nn.Module, narrow: nn.Module, *, lr: float, eps: float, exponents: tuple[float, float] = (0.5, 0.25),
    **hyper: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Param groups for :class:`piste.Shampoo`, one for every pair of factors, from what was tuned on the narrow model.

    piste.Shampoo(mup.shampoo_groups(model, narrow, lr=0.1, eps=1e-4))
    """
    from ..optimizers import Shampoo

    together: dict[Factors, list[tuple[str, nn.Parameter]]] = {}
    seen = widths(model, narrow)
    for name, p in model.named_parameters():
        together.setdefault(shampoo(seen[name], exponents), []).append((name, p))
    return [
        Shampoo.group(params, lr=lr * f.lr, eps=eps * f.damping[0], exponents=exponents, **hyper)
        for f, params in together.items()
    ]


@torch.no_grad()
def init_(model: nn.Module, narrow: nn.Module) -> None:
    """Scale, in place, weights that were drawn with a deviation proportional to 1/√inputs, as torch's layers do: those
    of layers whose outputs grow less than their inputs become smaller."""
    seen = widths(model, narrow)
    for name, p in model.named_parameters():
        if p.dim() > 1:
            p.mul_(_init(seen[name]) * seen[name].r_in ** 0.5)
