"""Dictionaries, learned by maximizing a norm of many entries over the sphere and the orthogonal group."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..claim import at_least, at_most, claim
from ..problems.quadratics import rotation
from .matrices import polar

DICTIONARY = "Complete Dictionary Learning via ell_p-norm Maximization"

SIZE, CHANCE, POWERS = 8, 0.3, (3, 4, 5, 6)  # numbers in a signal, chance of each code to be there


def power_step(gradient: Tensor, _: Tensor) -> Tensor:
    """The generalized power method on the sphere: where a linear model of the objective is largest."""
    return normalize(gradient, dim=-1)


def ascent_step(gradient: Tensor, z: Tensor) -> Tensor:
    """A step up the objective and back to the sphere: not the power method."""
    return normalize(z + gradient, dim=-1)


def population_gradient(z: Tensor, power: int, chance: float) -> Tensor:
    """The direction of ∇ E|⟨z, x⟩|ᵖ where every code xᵢ is there with that chance, then N(0, 1): Σ_S P(S)
    ‖z_S‖ᵖ⁻² z_S over all sets S of codes."""
    there = torch.tensor(list(product((0.0, 1.0), repeat=z.shape[-1])), dtype=torch.float64)
    odds = (chance * there + (1 - chance) * (1 - there)).prod(1)
    lengths = (z.square() @ there.mT).sqrt().pow(power - 2)
    return z * ((lengths * odds) @ there)


def _away(z: Tensor) -> Tensor:
    """From the nearest of ±e₁, …, ±eₙ: the sine of the angle."""
    rest = z.square().sort(-1).values[..., :-1]
    return rest.sum(-1).sqrt()


def _starts(seed: int, count: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, SIZE, generator=random, dtype=torch.float64), dim=-1)


@claim(
    "generalized power method",
    DICTIONARY,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-3,
    wrong=ascent_step,
    subject=power_step,
    seeds=2,
)
def power_steps_close_in_on_an_atom_linearly(method: Callable[[Tensor, Tensor], Tensor], seed: int) -> float:
    """With infinitely many samples the power method on the sphere converges linearly once it is near an atom.

    The largest factor by which a step shrinks the sine of the angle to the nearest atom, over θ, the factor that the
    gradient's expansion there has for every p: codes there with chance θ = 0.3, 8 atoms, p of 3 to 6, 10 starts each,
    from the first sine below 1e-4 on.
    """
    worst = 0.0
    for power in POWERS:
        z, before = _starts(seed, 10), torch.ones(10, dtype=torch.float64)
        for _ in range(60):
            z = method(population_gradient(z, power, CHANCE), z)
            after = _away(z)
            near = (before < 1e-4) & (before > 1e-12)
            worst = max(worst, float(torch.where(near, after / before, 0.0).max()) / CHANCE)
            before = after
        worst = worst if float(before.max()) < 1e-4 else torch.inf
    return worst


def samples(seed: int, count: int, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """(Y, D): signals Y = D X + noise of a random orthogonal dictionary D, X sparse as above."""
    random = torch.Generator().manual_seed(seed)
    codes = torch.randn(SIZE, count, generator=random, dtype=torch.float64)
    codes = codes * (torch.rand(SIZE, count, generator=random, dtype=torch.float64) < CHANCE)
    off = noise * torch.randn(SIZE, count, generator=random, dtype=torch.float64)
    atoms = rotation(SIZE, seed)
    return atoms @ codes + off, atoms


def power_method(y: Tensor, power: float, steps: int, seed: int) -> Tensor:
    """A of the generalized power method on Σ |A Y|ᵖ over the orthogonal group, from a random start: the polar factor
    of each gradient."""
    a = rotation(SIZE, seed + 77)
    for _ in range(steps):
        found = a @ y
        a = polar((found.abs().pow(power - 1) * found.sign()) @ y.mT)
    return a


def flattening(y: Tensor, power: float, steps: int, seed: int) -> Tensor:
    """The same for p = 1.5, whose maxima are dense codes."""
    return power_method(y, 1.5, steps, seed)


def reversed_powers(y: Tensor, power: float, steps: int, seed: int) -> Tensor:
    """The largest power in the place of the smallest, and the other way round."""
    return power_method(y, POWERS[0] + POWERS[-1] - power, steps, seed)


def missed(a: Tensor, atoms: Tensor) -> float:
    """1 - Σ (A D)⁴ / n: 0 where A is Dᵀ but for signs and order."""
    return 1 - float((a @ atoms).pow(4).sum()) / SIZE


@claim(
    "generalized power method",
    DICTIONARY,
    kind="empirical",
    predicts=at_most(0.05),
    tolerance=0.0,
    wrong=flattening,
    subject=power_method,
    seeds=5,
    scale="8 atoms, 4000 signals, codes there with chance 0.3, noise of deviation 0.1, 40 steps",
)
def the_cube_of_codes_finds_the_whole_dictionary(method: Callable[..., Tensor], seed: int) -> float:
    """The power method for p = 3 over the orthogonal group finds the dictionary but for signs and order, from a random
    start and with noise.

    1 - Σ (A D)⁴ / n.
    """
    y, atoms = samples(seed, 4000, 0.1)
    return missed(method(y, 3, 40, seed), atoms)


@claim(
    "generalized power method",
    DICTIONARY,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=reversed_powers,
    subject=power_method,
    seeds=5,
    scale="8 atoms, 400 signals, codes there with chance 0.3, 40 steps, 8 dictionaries for every p",
)
def the_cube_needs_the_fewest_samples(method: Callable[..., Tensor], seed: int) -> float:
    """Of the powers p = 3, 4, 5, 6 the first finds the dictionary best from few signals.

    The least 1 - Σ (A D)⁴ / n of the others over that of p = 3, means over 8 dictionaries with 400 signals each.
    """
    means = []
    for power in POWERS:
        tries = [(8 * seed + k, *samples(8 * seed + k, 400)) for k in range(8)]
        means.append(sum(missed(method(y, power, 40, one), atoms) for one, y, atoms in tries))
    return min(means[1:]) / means[0]
