"""Rules in bases that turn: SOAP's relatives, and those of KL-Shampoo's factors."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ...linalg.eigen import eigenbasis
from ..claim import at_least, claim, equal
from .identities import _off_turned, farthest, noise, walk
from .matrices import matrix
from .papers import SOAP
from .races import SYMBOLIC
from .wrong import instead, told

KL = "Understanding and Improving Shampoo and SOAP via Kullback-Leibler Minimization"
ADEMAMIX = "The AdEMAMix Optimizer: Better, Faster, Older"


def mixed(seed: int, m: int, n: int, count: int) -> Tensor:
    """Gradients of two kinds with correlated rows and columns, whose second moment is no Kronecker product."""
    kinds = []
    for k in range(2):
        left, right = matrix(seed + 60 + k, m, m), matrix(seed + 70 + k, n, n)
        drawn = torch.stack([matrix(1000 * seed + 500 * k + i, m, n) for i in range(count // 2)])
        kinds.append(left @ drawn @ right / (m * n) ** 0.5)
    return torch.stack(kinds, 1).flatten(0, 1)


def divergence(gradients: Tensor, left: Tensor, right: Tensor) -> float:
    """KL(N(0, E g gᵀ), N(0, L ⊗ R)) but for what does not depend on L and R."""
    m, n = gradients.shape[-2:]
    whitened = torch.linalg.solve(left, gradients) * torch.linalg.solve(right, gradients.mT).mT
    size = n * torch.logdet(left) + m * torch.logdet(right)
    return 0.5 * float(size + whitened.sum((-2, -1)).mean())


def nearest(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """The factors with the least divergence, by turns: each is E G R⁻¹ Gᵀ / n of the other."""
    m, n = gradients.shape[-2:]
    left, right = (torch.eye(k, dtype=gradients.dtype) for k in (m, n))
    for _ in range(200):
        left = (gradients @ torch.linalg.solve(right, gradients.mT)).mean(0) / n
        right = (gradients.mT @ torch.linalg.solve(left, gradients)).mean(0) / m
    return left, right


@claim(
    "KLShampoo",
    KL,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=0.05,
    wrong=instead("SOAP", betas=(0.0, 0.99)),
    seeds=2,
)
def factors_that_whiten_each_other_are_nearest_in_divergence(method: Any, seed: int) -> float:
    """The Kronecker product with the least Kullback-Leibler divergence from the gradients' second moment has L = E G
    R⁻¹ Gᵀ / n and R = E Gᵀ L⁻¹ G / m: there KL-Shampoo's factors settle. Shampoo's E GGᵀ and E GᵀG are best only if
    the other side is the identity.

    By how many nats the divergence of L ⊗ R is above the least, after 32 gradients of 4 × 5 came 30 times, β = 0.99;
    Shampoo's product, as SOAP keeps its factors, is given its best scale.
    """
    some, start = mixed(seed, 4, 5, 32), torch.nn.Parameter(torch.zeros(4, 5, dtype=torch.float64))
    opt = method([start], lr=0.0, betas=(0.0, 0.99), precondition_frequency=5, weight_decay=0.0)
    for t in range(960):
        start.grad = some[t % 32]
        opt.step()
    left, right = (opt.state[start][side] for side in "LR")
    if method.__name__ == "SOAP":
        whitened = torch.linalg.solve(left, some) * torch.linalg.solve(right, some.mT).mT
        left = left * whitened.sum((-2, -1)).mean() / 20
    return divergence(some, left, right) - divergence(some, *nearest(some))


@claim(
    "KLShampoo",
    KL,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.05,
    wrong=instead("Shampoo", exponents=(0.5, 0.5), beta2=0.99),
    seeds=3,
)
def whitened_steps_need_no_grafting(method: Any, seed: int) -> float:
    """KL-Shampoo needs no length from Adam: where its factors have settled, the mean square of the numbers of its step
    is 1, whatever the scale of the gradients.

    The mean square of the step over its rate in the last of 30 rounds of 32 gradients of 4 × 5, their scale 1, 30 or
    900 by the seed; no momentum, β = 0.99.
    """
    some = 30.0 ** (seed % 3) * mixed(seed, 4, 5, 32)
    hyper: dict[str, Any] = dict(lr=1.0, betas=(0.0, 0.99), precondition_frequency=5, weight_decay=0.0)
    points = walk(method, torch.zeros(4, 5, dtype=torch.float64), lambda t, w: some[t % 32], 960, **hyper)
    steps = torch.stack([b - a for a, b in itertools.pairwise(points[-33:])])
    return float(steps.square().mean())


@claim("KLSOAP", KL, kind="identity", predicts=equal(0.0), tolerance=1e-8, wrong=instead("AdamW"), seeds=2)
def kl_soap_does_not_see_turned_axes(method: Any, seed: int) -> float:
    """As SOAP's, KL-SOAP's path turns with the rows and the columns of all gradients.

    The largest difference of two runs of 25 steps of 7 × 7, U gradient Vᵀ against gradient, turned back.
    """
    return _off_turned(method, seed, 7, 7, lr=0.01, weight_decay=0.0, eps=1e-12)


@claim(
    "KLSOAP",
    KL,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=0.05,
    wrong=instead("SOAP", betas=(0.0, 0.99), precondition_frequency=1),
    seeds=2,
    cost="full",
)
def kl_soap_is_adam_in_the_basis_of_the_nearest_factors(method: Any, seed: int) -> float:
    """KL-SOAP is Adam in the eigenbasis of the factors with the least divergence, and not in that of E GGᵀ and E GᵀG.

    The relative difference of the steps of the last of 250 rounds of 12 gradients of 4 × 5 from Q_L [G'/√(E G'²)] Q_Rᵀ
    with G' = Q_LᵀGQ_R in that basis; β = (0, 0.99), bases renewed in every step. These are 30 averaging times: after 13
    the basis has not settled for some draws (seed 202: 0.13), and what is left then is of the size of 1 - β.
    """
    some = mixed(seed, 4, 5, 12)
    hyper: dict[str, Any] = dict(lr=1.0, betas=(0.0, 0.99), precondition_frequency=1, weight_decay=0.0)
    points = walk(method, torch.zeros(4, 5, dtype=torch.float64), lambda t, w: some[t % 12], 3000, **hyper)
    steps = torch.stack([a - b for a, b in itertools.pairwise(points[-13:])])
    left, right = (eigenbasis(h) for h in nearest(some))
    turned = left.mT @ some @ right
    ideal = left @ (turned / turned.square().mean(0).sqrt()) @ right.mT
    return float((steps - ideal).norm() / ideal.norm())


@claim("SOAPLion", SOAP, kind="identity", predicts=equal(0.0), tolerance=1e-8, wrong=instead("Lion"), seeds=2)
def lion_in_soaps_basis_does_not_see_turned_axes(method: Any, seed: int) -> float:
    """Any rule of coordinates, here Lion's signs, does not see turned rows and columns if it runs in the eigenbasis of
    Shampoo's statistics.

    The largest difference of two runs of 25 steps of 7 × 7, U gradient Vᵀ against gradient, turned back.
    """
    return _off_turned(method, seed, 7, 7, lr=0.01, weight_decay=0.0)


@claim(
    "SOAPLion",
    SYMBOLIC,
    kind="identity",
    predicts=equal(1.0),
    tolerance=1e-12,
    wrong=instead("SOAP"),
    seeds=3,
)
def lions_steps_are_equally_long_in_any_basis(method: Any, seed: int) -> float:
    """The sign gives every coordinate of Lion's update one magnitude; in another basis of rows and columns all steps of
    an m × n matrix still have the length η√(mn), whatever the gradient's.

    The length over η√(mn) that is farthest from 1, over 30 steps of 6 × 9 on gradients of sizes from 0.01 to 100.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 6, 9)(t, w) * 10.0 ** (t % 5 - 2)

    points = walk(method, torch.zeros(6, 9, dtype=torch.float64), draw, 31, lr=0.01, weight_decay=0.0)
    lengths = [float((b - a).norm()) / (0.01 * 54**0.5) for a, b in itertools.pairwise(points[1:])]
    return max(lengths, key=lambda x: abs(x - 1))


def shifted(seed: int, size: int) -> Any:
    """Gradients with one entry in each row and column, which moves on by one: their statistics are diagonal."""

    def draw(t: int, _: Tensor) -> Tensor:
        entries = noise(seed, size)(t, _)
        return torch.diag(entries).roll(t, 1)

    return draw


@claim(
    "SOAPLion",
    SYMBOLIC,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=instead("SOAP"),
    seeds=3,
)
def lion_in_soaps_basis_is_lion_where_the_coordinates_are_the_basis(method: Any, seed: int) -> float:
    """Where GGᵀ and GᵀG are diagonal the basis is that of the coordinates, and Lion in it is Lion.

    The largest difference from Lion's steps among steps 7 to 40 of 6 × 6 gradients with one entry in each row and
    column. By then all entries have been seen: before, rounding gives signs to those that Lion leaves at 0. The first
    gradient, which only makes the bases, is not shown to Lion.
    """
    draw, start, hyper = shifted(seed, 6), matrix(seed, 6, 6), {"lr": 0.01, "betas": (0.9, 0.99)}
    ours = walk(method, start, draw, 41, weight_decay=0.0, **hyper)[1:]
    lion = walk(get("Lion", "optimizer").target, start, lambda t, w: draw(t + 1, w), 40, **hyper)
    return farthest(*([b - a for a, b in itertools.pairwise(points[6:])] for points in (ours, lion)))


@claim(
    "SOAPAdEMAMix",
    ADEMAMIX,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("SOAPAdEMAMix", alpha=2.0),
    seeds=2,
)
def without_the_slow_average_ademamix_is_adam(method: Any, seed: int) -> float:
    """With α = 0 AdEMAMix is AdamW; in SOAP's basis it is then SOAP.

    The largest difference from SOAP's path over 40 steps of 6 × 9, ε = 1e-14 (which both add in different places).
    """
    draw, start = noise(seed, 6, 9), matrix(seed, 6, 9)
    hyper: dict[str, Any] = dict(lr=0.01, weight_decay=0.1, eps=1e-14, precondition_frequency=3)
    ours = walk(method, start, draw, 40, betas=(0.9, 0.95, 0.999), alpha=0.0, **hyper)
    return farthest(ours, walk(get("SOAP", "optimizer").target, start, draw, 40, betas=(0.9, 0.95), **hyper))


@claim(
    "SOAPAdEMAMix",
    ADEMAMIX,
    kind="empirical",
    predicts=at_least(0.8),
    tolerance=0.0,
    wrong=instead("SOAP"),
    seeds=8,
    scale="8 × 8, 60 gradients with a mean as large as their noise, 240 without one, α = 8, β₃ = 0.9995",
)
def old_gradients_stay_in_the_steps(method: Any, seed: int) -> float:
    """With a second, slow average old gradients keep their weight in the steps, beside the recent ones; one average
    cannot do both. In SOAP's basis they keep it although the basis turns many times.

    The cosine between the way of the last 140 steps, by when an average with β = 0.95 has forgotten, and the mean of
    the first 60 gradients. The paper has no such number, 0.8 is ours; it takes a large α: with 2 the cosine is 0.54.
    """
    old, drawn = matrix(seed + 80, 8, 8), noise(seed, 8, 8)
    hyper: dict[str, Any] = dict(lr=0.01, weight_decay=0.0, precondition_frequency=5)
    if method.__name__ == "SOAPAdEMAMix":
        hyper |= {"betas": (0.95, 0.95, 0.9995), "alpha": 8.0}

    def draw(t: int, w: Tensor) -> Tensor:
        return drawn(t, w) + old * (t < 60)

    points = walk(method, torch.zeros(8, 8, dtype=torch.float64), draw, 300, **hyper)
    way = points[160] - points[300]
    return float((way * old).sum() / (way.norm() * old.norm()))
