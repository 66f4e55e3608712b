"""Laws of how a loss falls with size: sums of powers, with or without a floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """L = E + A N^-α (+ B D^-β): one falling power for each size, and where ``floor`` is said a loss that stays.

    Fits work with θ = (log E, log A, α, log B, β) and log L = logsumexp of the terms, the sizes divided by their
    geometric mean so that A and α are told apart; ``natural`` gives the numbers that a reader wants.
    """

    name: str
    formula: str
    sizes: tuple[str, ...]
    floor: bool
    names: tuple[str, ...]

    @property
    def exponents(self) -> tuple[str, ...]:
        return self.names[1 + self.floor :: 2]

    def log_loss(self, theta: Array, u: Array) -> tuple[Array, Array]:
        """log L and its derivatives for θ (batch, parameters) at the centered log sizes u (points, sizes)."""
        free = theta[:, int(self.floor) :].reshape(len(theta), len(self.sizes), 2)
        terms = free[:, None, :, 0] - free[:, None, :, 1] * u[None]
        if self.floor:
            terms = np.concatenate([np.broadcast_to(theta[:, None, :1], (*terms.shape[:2], 1)), terms], 2)
        top = terms.max(2, keepdims=True)
        parts = np.exp(terms - top)
        total = parts.sum(2, keepdims=True)
        parts /= total
        slopes = parts[:, :, int(self.floor) :]
        pairs = np.stack([slopes, -slopes * u[None]], 3).reshape(*slopes.shape[:2], -1)
        jacobian = np.concatenate([parts[:, :, :1], pairs], 2) if self.floor else pairs
        return (top + np.log(total))[..., 0], jacobian

    def natural(self, theta: Array, center: Array) -> Array:
        """(E, A, α, B, β) of θ (batch, parameters), for sizes as they were given."""
        out = theta.copy()
        first = int(self.floor)
        for j, mid in enumerate(center):
            out[:, first + 2 * j] = np.exp(theta[:, first + 2 * j] + theta[:, first + 2 * j + 1] * mid)
        if self.floor:
            out[:, 0] = np.exp(theta[:, 0])
        return out

    def predict(self, natural: Array, sizes: Array) -> Array:
        """L (batch, points) of natural parameters (batch, parameters) at sizes (points, sizes)."""
        first = int(self.floor)
        loss = (
            np.repeat(natural[:, :1], len(sizes), 1) if self.floor else np.zeros((len(natural), len(sizes)))
        )
        for j in range(len(self.sizes)):
            factor, power = natural[:, first + 2 * j, None], natural[:, first + 2 * j + 1, None]
            loss = loss + factor * sizes[None, :, j] ** -power
        return loss


LAWS = {
    law.name: law
    for law in (
        Law("power", "A·N^-α", ("N",), False, ("A", "α")),
        Law("power+floor", "E + A·N^-α", ("N",), True, ("E", "A", "α")),
        Law("chinchilla", "E + A·N^-α + B·D^-β", ("N", "D"), True, ("E", "A", "α", "B", "β")),
    )
}


def law_of(name: str) -> Law:
    """Errors (KeyError): an unknown name, with those there are."""
    if name not in LAWS:
        raise KeyError(f"no law is called {name!r}: there are {', '.join(LAWS)}")
    return LAWS[name]


def grid(law: Law, u: Array, log_loss: Array) -> Array:
    """Starts: every exponent 0.05 to 1.6, the floor at three shares of the least loss, and what is left of the mean
    loss for the falling terms."""
    powers = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
    floors = np.array([0.1, 0.5, 0.9]) if law.floor else np.array([0.0])
    count = len(law.sizes)
    mesh = np.stack(np.meshgrid(floors, *[powers] * count, indexing="ij"), -1).reshape(-1, 1 + count)
    least, mean = np.exp(log_loss.min()), np.exp(log_loss).mean()
    columns = [np.log(np.maximum(mesh[:, 0] * least, 1e-300))] if law.floor else []
    for j in range(count):
        columns += [np.log((mean - mesh[:, 0] * least) / count), mesh[:, 1 + j]]
    return np.stack(columns, 1)
