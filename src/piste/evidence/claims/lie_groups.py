"""PSGD: preconditioners that move in a Lie group towards (E gg')^-½, or |H|⁻¹."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...transforms.kron import Kron, fit_symmetric, fit_triangular
from ...transforms.psgd_low_rank import LowRank, Tree, fit
from ..claim import at_most, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix
from .wrong import instead, told

CURVATURE = "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners"
FITTINGS = "Stochastic Hessian Fittings with Lie Groups"
SMALL = (
    "3 × 3, gradients AZB with Gaussian Z and A, B of condition number 4; 600 steps, rates from 0.3 to 0.003"
)

same = partial(claim, kind="identity", predicts=equal(0.0), tolerance=1e-9, seeds=3)
fits = partial(claim, kind="empirical", tolerance=0.0, seeds=5, cost="full")


def fitted(opt: Any, params: list[Any], gradients: Callable[[int], list[Tensor]], steps: int) -> Any:
    """The optimizer after steps on these gradients, its fit at rates that fall from 0.3 to 0.003."""
    for t in range(steps):
        opt.param_groups[0]["lr_preconditioner"] = 0.3 * 0.01 ** (t / steps)
        for p, g in zip(params, gradients(t), strict=True):
            p.grad = g
        opt.step()
    return opt


def fitted_to_curvature(opt: Any, w: Any, hessian: Tensor, rates: tuple[float, float], steps: int) -> Any:
    """The optimizer after steps on ½ wᵀHw, its fit at rates that fall from the one to the other."""

    def evaluate() -> Tensor:
        w.grad = hessian @ w.detach()
        return 0.5 * (w.detach() @ w.grad)

    for t in range(steps):
        opt.param_groups[0]["lr_preconditioner"] = rates[0] * (rates[1] / rates[0]) ** (t / steps)
        opt.step(evaluate)
    return opt


def side(slots: Any, name: str) -> Tensor:
    """QᵀQ of one side, its factor a matrix or a diagonal."""
    dense, thin = slots.get(f"Q_{name}"), slots.get(f"q_{name}")
    return thin.flatten().square().diag() if dense is None else dense.mT @ dense


def over_all(opt: Any, params: list[Any]) -> Tensor:
    """QᵀQ of all weights as one vector, Q = (1 + UVᵀ) diag(d)."""
    d = torch.cat([opt.state[p]["d"].flatten() for p in params])
    if opt.state[params[0]].get("U") is None:
        return d.square().diag()
    U, V = (torch.cat([opt.state[p][k].reshape(-1, p.numel()) for p in params], -1).mT for k in "UV")
    Q = (torch.eye(len(d), dtype=d.dtype) + U @ V.mT) @ d.diag()
    return Q.mT @ Q


def off_one(a: Tensor) -> float:
    """The root mean square of the rows of a - 1."""
    return float((a - torch.eye(len(a), dtype=a.dtype)).norm() / len(a) ** 0.5)


def turned(seed: int, values: Tensor) -> Tensor:
    """A symmetric matrix with these eigenvalues."""
    q = torch.linalg.qr(matrix(seed, len(values), len(values)))[0]
    return q @ values.diag() @ q.mT


def left_by_whitening(method: Any, seed: int) -> float:
    """How far the covariance of Pg, P fitted to 600 gradients AZB of 3 × 3, is from the identity."""
    spread = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    a, b, draw = turned(seed + 10, spread), turned(seed + 20, 3 * spread), noise(seed, 3, 3)
    w = torch.nn.Parameter(torch.zeros(3, 3, dtype=torch.float64))
    slots = fitted(method([w], lr=0.0), [w], lambda t: [a @ draw(t, w) @ b], 600).state[w]
    left, right = side(slots, "L"), side(slots, "R")
    return off_one(torch.kron(left @ a @ a @ left, right @ b @ b @ right))


@fits(
    "PSGDKron",
    CURVATURE,
    predicts=at_most(0.3),
    wrong=told("PSGDKron", preconditioner_max_size=1),
    scale=SMALL,
)
def gradients_of_kronecker_covariance_are_whitened(method: Any, seed: int) -> float:
    """The fit tends to P = (E gg')^-½: where the gradients' covariance is a Kronecker product, Pg has the identity for
    its covariance.

    How far P E[gg'] P is from the identity, the root mean square over its rows.
    """
    return left_by_whitening(method, seed)


@same("PSGDKron", CURVATURE, wrong=fit_symmetric, subject=fit_triangular)
def a_step_in_the_group_is_the_same_in_other_coordinates(method: Any, seed: int) -> float:
    """Steps in a Lie group are equivariant: in coordinates changed by elements of the group, w' = CᵀwD, the fit takes
    Q ⊗ R to what it takes them to in the old ones, times C and D.

    The largest difference after 10 steps, over the largest entry; upper triangular C and D of 4 × 4 and 5 × 5.
    """

    def triangle(k: int, n: int) -> Tensor:
        return torch.triu(matrix(seed + k, n, n)) + 2 * torch.eye(n, dtype=torch.float64)

    c, d = triangle(1, 4), triangle(2, 5)
    zero = torch.zeros((), dtype=torch.float64)
    old: Any = Kron((triangle(3, 4), triangle(4, 5)), (None, None), (zero, zero))
    new: Any = old._replace(q=(old.q[0] @ c, old.q[1] @ d))
    for t in range(10):
        h, v = matrix(100 * seed + t, 4, 5), matrix(100 * seed + t + 50, 4, 5)
        h_new, v_new = torch.linalg.solve(c, torch.linalg.solve(d, h.mT).mT), c.mT @ v @ d
        pairs = method(old, h, v, v, 0.3, 0.9), method(new, h_new, v_new, v_new, 0.3, 0.9)
        old, new = (Kron(q, (None, None), ell) for q, ell in pairs)
    want = old.q[0] @ c, old.q[1] @ d
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in zip(new.q, want, strict=True))


@claim(
    "PSGDKronNewton",
    FITTINGS,
    kind="theorem",
    predicts=at_most(1e-3),
    tolerance=0.0,
    wrong=told("PSGDKronNewton", preconditioner_max_skew=0.0),
    seeds=2,
)
def exact_products_fit_a_positive_hessian_at_a_linear_rate(method: Any, seed: int) -> float:
    """In the group the criterion is strongly convex under mild conditions. With exact products of a positive definite
    Hessian the steps have no noise where P = H⁻¹, so that the fit converges at a constant rate.

    How far PH is from the identity after 300 steps over how far it was after 50, both the root mean square over rows
    (in proportion to 1/t² it would be 1/36); dense triangular form on 6 numbers, eigenvalues from 0.3 to 3, rate 1.
    """
    hessian = turned(seed, torch.logspace(-0.5, 0.5, 6, dtype=torch.float64))
    w = torch.nn.Parameter(torch.ones(6, dtype=torch.float64))
    opt = method([w], lr=0.0, preconditioner_max_skew=6.0)
    early = off_one(side(fitted_to_curvature(opt, w, hessian, (1.0, 1.0), 50).state[w], "R") @ hessian)
    late = off_one(side(fitted_to_curvature(opt, w, hessian, (1.0, 1.0), 250).state[w], "R") @ hessian)
    return late / early


@fits(
    "PSGDKronNewton",
    CURVATURE,
    predicts=at_most(0.25),
    wrong=told("PSGDKronNewton", preconditioner_max_skew=0.0),
    scale="a quadratic of 6 numbers, eigenvalues ± from 0.3 to 3, 800 steps, rates from 0.5 to 0.01",
)
def an_indefinite_hessian_gives_its_absolute_value(method: Any, seed: int) -> float:
    """Where the Hessian is not positive definite the fit tends to |H|⁻¹, with which a step leaves a saddle, and not to
    H⁻¹, with which it would be drawn in.

    How far P|H| is from the identity, the root mean square over rows, in the dense triangular form.
    """
    values = torch.logspace(-0.5, 0.5, 6, dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(3)
    w = torch.nn.Parameter(torch.ones(6, dtype=torch.float64))
    opt = method([w], lr=0.0, preconditioner_max_skew=6.0)
    found = fitted_to_curvature(opt, w, turned(seed, signs * values), (0.5, 0.01), 800).state[w]
    return off_one(side(found, "R") @ turned(seed, values))


@fits(
    "PSGDLRA",
    CURVATURE,
    predicts=at_most(0.5),
    wrong=told("PSGDLRA", rank_of_approximation=0),
    scale="two tensors of 3 numbers, covariance 1 + 8 uuᵀ over both; rank 1, 1,200 steps, rates from 0.3 to 0.003",
)
def low_rank_factors_whiten_across_tensors(method: Any, seed: int) -> float:
    """All weights are one vector: what gradients of different tensors have in common is whitened as well, if it is of
    low rank.

    How far P E[gg'] P is from the identity, the root mean square over its rows; a diagonal P leaves about 1.
    """
    u = matrix(seed, 1, 6).squeeze(0)
    u, draw = u / u.norm(), noise(seed, 7)
    params = [torch.nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2)]

    def gradients(t: int) -> list[Tensor]:
        z = draw(t, u)
        return list((z[:6] + 8**0.5 * z[6] * u).split(3))

    opt = fitted(method(params, lr=0.0, rank_of_approximation=1), params, gradients, 1200)
    P = over_all(opt, params)
    return off_one(P @ (torch.eye(6, dtype=P.dtype) + 8 * torch.outer(u, u)) @ P)


@same("PSGDLRA", CURVATURE, wrong=told("PSGDLRA", preconditioner_init_scale=1.0))
def the_rates_of_psgd_are_normalized(method: Any, seed: int) -> float:
    """Both rates are normalized: the size of the gradients changes neither the fit, relative to itself, nor a step.

    The largest difference over 40 steps of the paths on gradients and on 1,000 times these gradients.
    """
    draw, start = noise(seed, 4, 5), matrix(seed, 4, 5)
    hyper = {"lr": 0.01, "rank_of_approximation": 2}
    small = walk(method, start, draw, 40, **hyper)
    return farthest(small, walk(method, start, lambda t, w: 1000 * draw(t, w), 40, **hyper))


@fits(
    "PSGDLRANewton",
    CURVATURE,
    predicts=at_most(0.2),
    wrong=told("PSGDLRANewton", rank_of_approximation=0),
    scale="a quadratic of 6 numbers, H a diagonal from 0.5 to 2 plus 6 uuᵀ; rank 1, 1,000 steps, rates 0.5 to 0.05",
)
def low_rank_factors_fit_a_diagonal_plus_low_rank(method: Any, seed: int) -> float:
    """A Hessian that is a diagonal and a matrix of rank r is fitted by factors of rank r.

    How far PH is from the identity, the root mean square over rows.
    """
    u = matrix(seed, 1, 6).squeeze(0)
    hessian = torch.linspace(0.5, 2, 6, dtype=torch.float64).diag() + 6 * torch.outer(u, u) / u.square().sum()
    w = torch.nn.Parameter(torch.ones(6, dtype=torch.float64))
    opt = method([w], lr=0.0, rank_of_approximation=1)
    return off_one(over_all(fitted_to_curvature(opt, w, hessian, (0.5, 0.05), 1000), [w]) @ hessian)


def apart(q: LowRank, h: Tensor, v: Tensor, tree: Tree, lr: Any, beta: Any, turn_U: bool) -> LowRank:
    """The fit with the diagonal's step added as it is, and not multiplied on."""
    new = fit(q, h, v, tree, lr, beta, turn_U)
    return new._replace(d=q.d + (new.d - q.d) / q.d)


@same("PSGDLRANewton", CURVATURE, wrong=apart, subject=fit)
def the_low_rank_fit_does_not_see_units(method: Any, seed: int) -> float:
    """Diagonals are a group, so that the fit is equivariant to the units of the weights: where each is multiplied by a
    number, w' = cw, the diagonal d becomes d/c, and U and V stay as they are.

    The largest relative difference after 20 steps on 8 numbers of rank 2, c from 0.01 to 100.
    """
    c, zero = torch.logspace(-2, 2, 8, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    tree = Tree(lambda x, y: x @ y.mT if y.dim() > 1 else x @ y, lambda x: x.abs().max())
    old: Any = LowRank(
        0.1 * matrix(seed, 2, 8), 0.1 * matrix(seed + 1, 2, 8), torch.ones_like(c), zero, zero, zero
    )
    new: Any = old._replace(d=old.d / c)
    for t in range(20):
        h, v = matrix(100 * seed + t, 2, 8)
        old = method(old, h, v, tree, 0.3, 0.9, t % 2 == 0)
        new = method(new, c * h, v / c, tree, 0.3, 0.9, t % 2 == 0)
    pairs = ((new.U, old.U), (new.V, old.V), (new.d * c, old.d))
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)


@fits(
    "PSGDPRO", FITTINGS, predicts=at_most(0.3), wrong=told("PSGDPRO", preconditioner_max_size=1), scale=SMALL
)
def rotated_factors_whiten_without_an_inverse(method: Any, seed: int) -> float:
    """The fit by products alone has the fixed point of the one with triangular solves: P = (E gg')^-½.

    How far P E[gg'] P is from the identity, the root mean square over its rows.
    """
    return left_by_whitening(method, seed)


@claim(
    "PSGDPRO",
    FITTINGS,
    kind="empirical",
    predicts=at_most(0.01),
    tolerance=0.0,
    wrong=instead("PSGDKron"),
    seeds=3,
    scale="6 × 6 Gaussian gradients with correlated rows and columns, 100 steps at the default rate",
)
def small_rotations_keep_the_factors_symmetric(method: Any, seed: int) -> float:
    """A small rotation after every step, towards the nearest symmetric matrix, keeps the factors nearly symmetric.

    The larger ‖Q - Qᵀ‖/‖Q‖ of both factors in the end.
    """
    a, b, draw = matrix(seed, 6, 6), matrix(seed + 1, 6, 6), noise(seed, 6, 6)
    w = torch.nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
    opt = method([w], lr=0.001)
    for t in range(100):
        w.grad = a @ draw(t, w) @ b
        opt.step()
    return max(float((q - q.mT).norm() / q.norm()) for q in (opt.state[w]["Q_L"], opt.state[w]["Q_R"]))
