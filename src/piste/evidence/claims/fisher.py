"""The Fisher matrix of a layer as a Kronecker product: K-FAC and EKFAC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..claim import at_most, claim, equal
from .matrices import matrix
from .wrong import told

KFAC = "Optimizing Neural Networks with Kronecker-factored Approximate Curvature"
EKFAC = "Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis"

EXACT: dict[str, Any] = {"momentum": 0.0, "kl_clip": 0.0, "stat_decay": 1 - 1e-9}


class Net(nn.Module):
    """Two matrices between which a nonlinearity runs in other coordinates: W₂ Φ tanh(Ψ W₁ x)."""

    def __init__(self, first: Tensor, second: Tensor, after: Tensor, before: Tensor) -> None:
        super().__init__()
        (m, n), (k, _) = first.shape, second.shape
        self.first, self.second = (
            nn.Linear(a, b, bias=False, dtype=torch.float64) for a, b in ((n, m), (m, k))
        )
        self.first.weight.data.copy_(first)
        self.second.weight.data.copy_(second)
        self.after, self.before = after, before

    def forward(self, x: Tensor) -> Tensor:
        return self.second((self.first(x) @ self.before.mT).tanh() @ self.after.mT)


def layer(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    made.weight.data.copy_(weight)
    return made


def learn(net: Any, opt: Any, x: Tensor, y: Tensor) -> float:
    """A step on half the squared errors, which it returns."""
    opt.zero_grad()
    loss = 0.5 * (net(x) - y).square().sum(-1).mean()
    loss.backward()
    opt.step()
    return loss.item()


def basis_near_one(seed: int, n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64) + 0.4 * matrix(seed, n, n) / n**0.5


@claim(
    "KFAC",
    KFAC,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("KFAC", damping=0.1),
    seeds=3,
)
def kfac_does_not_see_a_layers_coordinates(method: Any, seed: int) -> float:
    """Invertible linear maps of a layer's inputs and outputs change nothing in the course of undamped K-FAC.

    The largest difference of the outputs over 15 steps of W₂ tanh(W₁x) and of the network that sees Ωx in place of x
    and computes Φ tanh(Ψs) in place of tanh s, started at the same function; λ = 1e-24, η = 0.2, momentum, κ = 0.1.
    """
    x, y = matrix(seed, 40, 4), matrix(seed + 50, 40, 3)
    w1, w2, one = matrix(seed + 100, 5, 4), matrix(seed + 150, 3, 5), torch.eye(5, dtype=torch.float64)
    omega, phi, psi = (basis_near_one(seed + 200 + i, n) for i, n in ((0, 4), (1, 5), (2, 5)))
    inverse = torch.linalg.inv
    pair = Net(w1, w2, one, one), Net(inverse(psi) @ w1 @ inverse(omega), w2 @ inverse(phi), phi, psi)
    hyper: dict[str, Any] = {"lr": 0.2, "momentum": 0.9, "kl_clip": 0.1, "TInv": 1, "damping": 1e-24}
    seen, worst = (x, x @ omega.mT), 0.0
    opts = [method(net, **hyper) for net in pair]
    for _ in range(15):
        for net, opt, inputs in zip(pair, opts, seen, strict=True):
            learn(net, opt, inputs, y)
        with torch.no_grad():
            worst = max(worst, float((pair[0](seen[0]) - pair[1](seen[1])).abs().max()))
    return worst


@claim(
    "KFAC",
    KFAC,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=told("KFAC", damping=0.01),
    seeds=3,
)
def kfac_is_the_natural_gradient_where_inputs_and_slopes_are_independent(method: Any, seed: int) -> float:
    """The one approximation within a layer, E[aaᵀ ⊗ ggᵀ] = E[aaᵀ] ⊗ E[ggᵀ], holds where inputs and gradients at the
    outputs are independent: the step is then F⁻¹ times the gradient.

    The largest difference of one step from that with the whole matrix F of 12 weights, relative; every one of 9 inputs
    with every one of 8 gradients, so that they are independent in the sample.
    """
    a, g, weight = matrix(seed, 9, 4) + 1, matrix(seed + 50, 8, 3) + 1, matrix(seed + 100, 3, 4)
    x, errors = a.repeat_interleave(8, 0), g.repeat(9, 1)
    net = layer(weight)
    learn(net, method(net, lr=1.0, damping=1e-24, **EXACT), x, x @ weight.mT - errors)
    each = (errors.unsqueeze(-1) * x.unsqueeze(-2)).flatten(1)
    natural = torch.linalg.solve(each.mT @ each / len(each), each.mean(0))
    found = weight.flatten() - net.weight.detach().flatten()
    return float((found - natural).abs().max() / natural.abs().max())


def samples(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs and targets of a layer whose errors depend on its inputs, and the weights with the least squares."""
    x = matrix(seed, 60, 5) @ matrix(seed + 50, 5, 5)
    size = 0.2 + x[:, :1].abs()
    y = x @ matrix(seed + 100, 5, 4) + size * (matrix(seed + 150, 60, 4) @ matrix(seed + 200, 4, 4))
    return x, y, torch.linalg.lstsq(x, y).solution.mT


def ekfac(x: Tensor, y: Tensor, best: Tensor) -> Tensor:
    """The Fisher matrix as EKFAC has it after one step on all examples, which gives the bases, and one on each."""
    from ...optimizers import EKFAC as method

    net, count = layer(best), len(x)
    opt = method(net, lr=0.0, TCov=10**6, TInv=10**6, **EXACT)
    learn(net, opt, x, y)  # at the best weights its gradient is 0
    for i in range(count):
        learn(net, opt, x[i : i + 1], y[i : i + 1])
    slots = opt.state[net.weight]
    axes = torch.kron(slots["Q_L"], slots["Q_R"])
    return axes @ torch.diag(slots["exp_avg_sq"].flatten() / 1e-9 / count) @ axes.mT


def product_of_diagonals(x: Tensor, y: Tensor, best: Tensor) -> Tensor:
    errors = x @ best.mT - y
    return torch.kron(*(torch.diag(a.square().mean(0)) for a in (errors, x)))


Approximation = Callable[[Tensor, Tensor, Tensor], Tensor]


def _off(method: Approximation, seed: int) -> tuple[float, float, float]:
    """How far from the Fisher matrix, in the Frobenius norm, are: the method's, K-FAC's, and the best diagonal in the
    eigenbasis of K-FAC's."""
    x, y, best = samples(seed)
    errors = x @ best.mT - y
    each = (errors.unsqueeze(-1) * x.unsqueeze(-2)).flatten(1)
    fisher = each.mT @ each / len(each)
    left, right = (h.mT @ h / len(h) for h in (errors, x))
    axes = torch.kron(torch.linalg.eigh(left)[1], torch.linalg.eigh(right)[1])
    there = axes.mT @ fisher @ axes
    least = there - torch.diag(there.diagonal())
    wholes = fisher - method(x, y, best), fisher - torch.kron(left, right), least
    off, product, smallest = (float(a.norm()) for a in wholes)
    return off, product, smallest


@claim(
    "EKFAC",
    EKFAC,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=product_of_diagonals,
    subject=ekfac,
    seeds=4,
)
def ekfac_is_nearer_to_the_fisher_matrix_than_kfac(method: Approximation, seed: int) -> float:
    """EKFAC's approximation is never farther from the Fisher matrix than K-FAC's, in the Frobenius norm.

    The ratio of the distances for a 4 × 5 layer at its least squares, 60 examples, errors larger where inputs are.
    """
    off, product, _ = _off(method, seed)
    return off / product


def kfac(x: Tensor, y: Tensor, best: Tensor) -> Tensor:
    errors = x @ best.mT - y
    return torch.kron(*(h.mT @ h / len(h) for h in (errors, x)))


@claim(
    "EKFAC",
    EKFAC,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-6,
    wrong=kfac,
    subject=ekfac,
    seeds=3,
)
def ekfacs_scales_are_the_best_in_their_basis(method: Approximation, seed: int) -> float:
    """Of all matrices with the eigenvectors of K-FAC's the nearest to the Fisher matrix has for its eigenvalues the
    second moments of the gradients along them: EKFAC's.

    EKFAC's distance over the least, as there.
    """
    off, _, smallest = _off(method, seed)
    return off / smallest
