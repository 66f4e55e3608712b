"""Numbers of four bits in blocks with one scale: products of what is rounded so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...memory.mxfp4 import MXFP4Linear, mxfp4, product
from ..claim import at_most, claim
from .few_bits import beside_exact, straight
from .stochastic import draws

MXFP4 = "Training LLMs with MXFP4"

Product = Callable[..., Tensor]


def unrotated(a: Tensor, b: Tensor, key: Tensor, rotate: int = 64) -> Tensor:
    return product(a, b, key, rotate=None)


def nearest(a: Tensor, b: Tensor, key: Tensor) -> Tensor:
    """Rotated at random, then rounded to the nearest."""
    return product(a, b, key, stochastic=False)


def drawn(method: Product, a: Tensor, b: Tensor, count: int) -> Tensor:
    return torch.stack([method(a, b, torch.tensor(k)) for k in range(count)])


@claim(
    "MXFP4Linear",
    MXFP4,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.5,
    wrong=nearest,
    subject=product,
    in_mean=True,
    seeds=5,
)
def products_of_stochastically_rounded_operands_are_unbiased(method: Any, seed: int) -> float:
    """With operands scaled by ¾ and rounded stochastically, and the product by 16/9, an MXFP4 product is an unbiased
    estimate of the exact one.

    ‖mean - exact‖² of 300 draws over what their own variance explains, for 20 × 128 and 24 × 128 Gaussian operands with
    outliers (of unbiased estimates its mean is 1).
    """
    normal = draws(seed)
    a, b = (normal(n, 128) * torch.where(normal(n, 128) > 2, 10.0, 1.0) for n in (20, 24))
    seen = drawn(method, a, b, 300)
    return float((seen.mean(0) - a @ b.mT).square().sum() / (seen.var(0).sum() / 300))


@claim(
    "MXFP4Linear",
    MXFP4,
    kind="empirical",
    predicts=at_most(0.8),
    tolerance=0.0,
    wrong=unrotated,
    subject=product,
    seeds=6,
    scale="16 × 256 and 16 × 256 Gaussian numbers, one in a hundred 20 times as large, 100 draws",
)
def rotations_lower_the_variance_that_outliers_make(method: Any, seed: int) -> float:
    """Outliers in a block make the variance of stochastic rounding large; the random Hadamard transform bounds it.

    The mean variance of the entries of a product, over that without the transform.
    """
    normal = draws(seed)
    rare = 2.3263  # one normal number in a hundred is above
    a, b = (normal(16, 256) * torch.where(normal(16, 256) > rare, 20.0, 1.0) for _ in range(2))
    rotated, plain = (drawn(how, a, b, 100).var(0).mean() for how in (method, unrotated))
    return float(rotated / plain)


@claim(
    "MXFP4Linear",
    MXFP4,
    kind="theorem",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=unrotated,
    subject=product,
    in_mean=True,
    seeds=3,
)
def with_rotations_the_variance_of_a_block_grows_more_slowly_than_with_its_size(
    method: Any, seed: int
) -> float:
    """The variance of a product of blocks of size b is O(b ‖A‖∞ ‖B‖∞) times a constant of the format as they are, and
    O(‖A‖ ‖B‖ log b) with high probability when they are turned at random.

    How many times larger the variance over ‖A‖² ‖B‖² is for blocks of 256 than of 32, over the same without turning;
    one entry is √b, the others Gaussian of deviation 0.3, 300 draws of 4 × 4 products. (The theorem's letters are from
    memory; that the transform bounds the variance is in the abstract.)
    """

    def growth(how: Product) -> float:
        normal, sizes = draws(seed), []
        for b in (32, 256):
            pair = [0.3 * normal(4, b) for _ in range(2)]
            for at, x in enumerate(pair):
                x[:, at] = b**0.5
            seen = torch.stack([how(*pair, torch.tensor(k), b) for k in range(300)]).var(0)
            sizes.append(float((seen / torch.outer(*(x.square().sum(1) for x in pair))).mean()))
        return sizes[1] / sizes[0]

    return growth(method) / growth(unrotated)


def fitted(seed: int, steps: int = 200, **how: Any) -> float:
    """How far above the least squares' the loss of a linear layer ends, relative to it: gradient descent on 128 samples
    with outliers, the rate falling to 0."""
    normal = draws(seed)
    x = normal(128, 16) * torch.where(normal(128, 16) > 1.9, 8.0, 1.0)
    y = x @ normal(16, 8) / 4 + normal(128, 8)
    least = float((x @ torch.linalg.lstsq(x, y).solution - y).square().mean())
    layer = MXFP4Linear(16, 8, bias=False, seed=seed, dtype=torch.float64, **how)
    rate = float(1 / torch.linalg.eigvalsh(x.mT @ x / 128)[-1])
    with torch.no_grad():
        layer.weight.zero_()
    for t in range(steps):
        with torch.enable_grad():
            (g,) = torch.autograd.grad((layer(x) - y).square().sum() / 256, layer.weight)
        with torch.no_grad():
            layer.weight -= rate * (1 - t / steps) * g
    with torch.no_grad():
        return float((layer(x) - y).square().mean()) / least - 1


@claim(
    "MXFP4Linear",
    MXFP4,
    kind="empirical",
    predicts=at_most(0.3),
    tolerance=0.0,
    wrong={"rotate": None, "stochastic": False},
    subject={},
    seeds=3,
    scale="least squares of 16 × 8 on 128 samples with outliers, 200 steps",
)
def unbiased_gradients_end_nearer_the_optimum_than_rounded_ones(method: Any, seed: int) -> float:
    """Gradients that are right in the mean make more accurate updates than those of operands rounded to the nearest.

    How far the loss is from the least one after gradient descent, over that with nearest rounding and no transform.
    """
    return fitted(seed, **method) / fitted(seed, rotate=None, stochastic=False)


@claim(
    "MXFP4Linear",
    MXFP4,
    kind="empirical",
    predicts=at_most(1.05),
    tolerance=0.0,
    wrong=straight,
    subject=mxfp4,
    seeds=5,
    cost="full",
    scale="a network of two hidden layers of 64 on 1,000 digits of 8 × 8, 100 steps of 100, three starts",
)
def backward_products_in_four_bits_lose_next_to_nothing(method: Any, seed: int) -> float:
    """Training whose backward products are in MXFP4, rounded stochastically and turned at random, ends next to where
    training in higher precision does.

    The loss on new digits over that with exact products, AdamW at the best of the same rates for both.
    """
    return beside_exact(method, seed)
