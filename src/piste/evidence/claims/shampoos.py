"""Shampoo's relatives: in blocks, grafted, on one side, in four bits, and as the width grows."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from ..._transform import Chain, chain
from ...optimizers import ASGO, Shampoo4bit
from ...scaling import mup
from ...transforms import descend, scale_by_asgo
from ..claim import at_least, at_most, between, claim, equal
from ..methods import of_chain
from .identities import farthest, noise, walk
from .matrices import matrix, polar
from .wrong import instead, scaled, told

DISTRIBUTED = (
    "A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer for Training Neural "
    "Networks At-Scale"
)
SCALABLE = "Scalable Second Order Optimization for Deep Learning"
FOUR = "4-bit Shampoo for Memory-Efficient Network Training"
ONE_SIDED = "ASGO: Adaptive Structured Gradient Optimization"
PERSPECTIVE = "A New Perspective on Shampoo's Preconditioner"
WIDTH = "On the Parameterization of Second-Order Optimization Effective Towards the Infinite Width"


def hidden(method: Any) -> Any:
    """A method of matrices that takes parameters without names, as hidden ones."""

    def make(params: Any, **hyper: Any) -> Any:
        named = [(f"h.{i}.weight", p) for i, p in enumerate(params)]
        return method([{"params": named, "optimizer": method.__name__}], **hyper)

    return make


# blocks and grafting ----------------------------------------------------------------------------------------------


@claim(
    "DistributedShampoo",
    DISTRIBUTED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("DistributedShampoo", max_preconditioner_dim=64),
    seeds=2,
)
def blocks_of_a_matrix_are_matrices_of_their_own(method: Any, seed: int) -> float:
    """With blocks of at most b rows and columns each block is preconditioned, and grafted, as if it were alone.

    The largest difference over 20 steps of a 12 × 10 matrix in blocks of 6 from runs on its four blocks.
    """
    hyper: dict[str, Any] = dict(
        lr=0.1, betas=(0.9, 0.99), epsilon=1e-6, max_preconditioner_dim=6, merge_dims=False, grafting="adam",
        weight_decay=0.1,
    )  # fmt: skip
    draw, start = noise(seed, 12, 10), matrix(seed, 12, 10)
    whole = walk(method, start, draw, 20, **hyper)
    worst = 0.0
    for rows in (slice(0, 6), slice(6, 12)):
        for columns in (slice(0, 6), slice(6, 10)):
            cell = rows, columns
            alone = walk(method, start[cell], lambda t, w, cell=cell: draw(t, w)[cell], 20, **hyper)
            worst = max(worst, farthest([x[cell] for x in whole], alone))
    return worst


@claim(
    "DistributedShampoo",
    DISTRIBUTED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-7,
    wrong=told("DistributedShampoo", max_preconditioner_dim=4),
    seeds=2,
)
def blocks_of_one_entry_are_adagrad(method: Any, seed: int) -> float:
    """Block-diagonal AdaGrad lies between the diagonal and the full one: with blocks of one entry it is Adagrad.

    The largest difference of 30 steps on a 6 × 5 matrix from Adagrad's, p - η g/√s, blocks of 1, ε = 1e-12.
    """
    hyper: dict[str, Any] = dict(lr=0.1, betas=(0.0, 1.0), max_preconditioner_dim=1, epsilon=1e-12)
    draw, w = noise(seed, 6, 5), torch.zeros(6, 5, dtype=torch.float64)
    got = walk(method, w, draw, 30, **hyper)
    sums, want = torch.zeros_like(w), [w]
    for t in range(30):
        g = draw(t, w)
        sums = sums + g.square()
        want.append(want[-1] - 0.1 * g / sums.sqrt())
    return farthest(got, want)


@claim(
    "DistributedShampoo",
    SCALABLE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("DistributedShampoo", grafting="sgd"),
    seeds=2,
)
def grafted_shampoo_moves_as_far_as_adam(method: Any, seed: int) -> float:
    """With Adam's length grafted on, every step of Shampoo is as long as Adam's would be on these gradients.

    The largest relative difference of the two lengths over 30 steps of gradients of random size, 6 × 5.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 6, 5)(t, w) * 10.0 ** (t % 5 - 2)

    start = torch.zeros(6, 5, dtype=torch.float64)
    hyper: dict[str, Any] = dict(betas=(0.9, 0.99), grafting="adam", grafting_beta2=0.95, epsilon=1e-6)
    points = walk(method, start, draw, 30, lr=0.01, **hyper)
    adam = walk(instead("Adam", betas=(0.9, 0.95)), start, draw, 30, lr=0.01)
    ratios = [
        float((b - a).norm() / (d - c).norm()) for a, b, c, d in zip(points, points[1:], adam, adam[1:])
    ]
    return max(abs(x - 1) for x in ratios)


# the Kronecker product ----------------------------------------------------------------------------------------------


def factors(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """What Shampoo has gathered after seeing all of the gradients."""
    from ...optimizers import Shampoo

    w = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    opt = Shampoo([w], lr=0.0, precondition_frequency=len(gradients))
    for g in gradients:
        w.grad = g
        opt.step()
    return opt.state[w]["L"], opt.state[w]["R"]


def factors_of_the_mean(gradients: Tensor) -> tuple[Tensor, Tensor]:
    g = gradients.mean(0)
    return g @ g.mT, g.mT @ g


def rearranged(gradients: Tensor) -> Tensor:
    """E g gᵀ with the entry of ((i, j), (k, l)) in row (i, k), column (j, l): of Kronecker products it has rank 1."""
    m, n = gradients.shape[-2:]
    return torch.einsum("tij,tkl->ikjl", gradients, gradients).reshape(m * m, n * n)


@claim(
    "Shampoo",
    PERSPECTIVE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=factors_of_the_mean,
    subject=factors,
    seeds=3,
)
def shampoos_factors_are_one_step_of_power_iteration(method: Any, seed: int) -> float:
    """L and R are what one step of power iteration from the identities gives, towards the best Kronecker product L ⊗ R
    of AdaGrad's full matrix E g gᵀ.

    The largest difference of the normalized factors from that step, taken on the rearranged matrix; 30 Gaussian
    gradients of 5 × 7 with correlated rows and columns.
    """
    gradients = (
        matrix(seed, 5, 5)
        @ torch.stack([matrix(100 * seed + i, 5, 7) for i in range(30)])
        @ matrix(seed, 7, 7)
    )
    full = rearranged(gradients)
    m, n = gradients.shape[-2:]
    left = (full @ torch.eye(n, dtype=full.dtype).flatten()).view(m, m)
    right = (full.mT @ torch.eye(m, dtype=full.dtype).flatten()).view(n, n)
    L, R = method(gradients)
    pairs = ((L, left), (R, right))
    return max(float((a / a.norm() - b / b.norm()).abs().max()) for a, b in pairs)


def squared(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """The square of Shampoo's approximation: L ⊗ R."""
    return factors(gradients)


def plain(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Shampoo's own: L^½ ⊗ R^½."""
    L, R = factors(gradients)
    return root(L), root(R)


def root(a: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(a)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


@claim(
    "Shampoo",
    PERSPECTIVE,
    kind="empirical",
    predicts=at_least(0.97),
    tolerance=0.0,
    wrong=plain,
    subject=squared,
    seeds=3,
    scale="logistic regression of 5 classes on 12 inputs whose deviations fall from 1 to 0.03, 500 samples",
)
def the_square_of_shampoo_is_near_the_best_kronecker_product(method: Any, seed: int) -> float:
    """The square of Shampoo's Kronecker product is nearly as similar to AdaGrad's matrix as the best Kronecker product
    is, and far more than Shampoo's own.

    The cosine of the angle between L ⊗ R and E g gᵀ, over that of the best product (the top singular value).
    """
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(500, 12, generator=random, dtype=torch.float64) * torch.logspace(
        0, -1.5, 12, dtype=torch.float64
    )
    weights = torch.randn(5, 12, generator=random, dtype=torch.float64)
    chances = (inputs @ weights.mT).softmax(-1)
    labels = torch.multinomial(chances, 1, generator=random).squeeze(-1)
    errors = chances - nn.functional.one_hot(labels, 5)
    gradients = errors.unsqueeze(-1) * inputs.unsqueeze(-2)
    full = rearranged(gradients)
    L, R = method(gradients)
    similar = L.flatten() @ full @ R.flatten() / (L.norm() * R.norm() * full.norm())
    return float(similar / (torch.linalg.matrix_norm(full, 2) / full.norm()))


# four bits -----------------------------------------------------------------------------------------------------------


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


# one side ------------------------------------------------------------------------------------------------------------


def _with_sums(lr: float, eps: float = 1e-10) -> Chain:
    return chain(scale_by_asgo(chain(), 1.0, eps), descend(lr))


@claim(
    "ASGO",
    ONE_SIDED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 30.0),
    subject=of_chain(_with_sums),
    seeds=3,
)
def one_sided_regret_is_bounded(method: Any, seed: int) -> float:
    """On convex losses the regret is at most (D²/2η + η) tr (Σ GGᵀ + εI)^½, D the largest spectral norm of W_t - W*.

    Losses ½ ‖(W - W_t*)x_t‖² seen through one row: ½ (uᵀWv - y)² of random u, v, y; 4 × 5 matrices, η = 0.5, against
    the best matrix in hindsight; 200 steps.
    """
    m, n, steps, rate, eps = 4, 5, 200, 0.5, 1e-10
    random = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(steps, k, generator=random, dtype=torch.float64) for k in (m, n))
    y = torch.randn(steps, generator=random, dtype=torch.float64)
    flat = torch.einsum("ti,tj->tij", u, v).reshape(steps, m * n)
    best = torch.linalg.lstsq(flat, y.unsqueeze(1)).solution.view(m, n)
    gradients: list[Tensor] = []

    def slope(t: int, w: Tensor) -> Tensor:
        gradients.append((u[t] @ w @ v[t] - y[t]) * torch.outer(u[t], v[t]))
        return gradients[-1]

    points = walk(method, torch.zeros(m, n, dtype=torch.float64), slope, steps, lr=rate)
    far = max(float(torch.linalg.matrix_norm((w - best).nan_to_num(1e9, 1e9, -1e9), 2)) for w in points)
    if not far < 1e6:
        return float("inf")
    regret = sum(
        0.5 * float((u[t] @ points[t] @ v[t] - y[t]).square() - (u[t] @ best @ v[t] - y[t]).square())
        for t in range(steps)
    )
    summed = eps * torch.eye(m, dtype=torch.float64) + sum(g @ g.mT for g in gradients)
    return regret / (
        (far**2 / (2 * rate) + rate) * float(torch.linalg.eigvalsh(summed).clamp(min=0).sqrt().sum())
    )


@claim(
    "ASGO",
    ONE_SIDED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("ASGO", beta2=0.8),
    seeds=3,
)
def one_sided_without_averages_is_muons_step(method: Any, seed: int) -> float:
    """Without momentum and averages ASGO takes Muon's exact step: the orthogonal factor UVᵀ of the gradient, here of
    root mean square 0.2.

    The largest difference over 3 steps of 6 × 10 Gaussian gradients.
    """
    draw = noise(seed, 6, 10)
    hyper = dict(lr=1.0, momentum=0.0, beta2=0.0, weight_decay=0.0, eps=1e-14)
    points = walk(hidden(method), torch.zeros(6, 10, dtype=torch.float64), draw, 3, **hyper)
    worst = 0.0
    for t in range(3):
        exact = polar(draw(t, points[t]))
        step = exact * (0.2 / exact.square().mean().sqrt())
        worst = max(worst, float((points[t] - points[t + 1] - step).abs().max()))
    return worst


@claim(
    "DASGO",
    ONE_SIDED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("Adam", betas=(0.0, 0.95)),
    seeds=3,
)
def diagonal_and_full_asgo_agree_where_columns_are_orthogonal(method: Any, seed: int) -> float:
    """DASGO keeps the diagonal of ASGO's statistic: where all gradients have orthogonal columns both take one step.

    The largest difference of 20 steps; 10 × 6 gradients with orthogonal columns of random lengths, ε = 1e-12.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        random = torch.Generator().manual_seed(1000 * seed + t)
        columns = torch.linalg.qr(torch.randn(10, 6, generator=random, dtype=torch.float64))[0]
        return columns * torch.rand(6, generator=random, dtype=torch.float64)

    hyper = dict(lr=0.1, momentum=0.5, beta2=0.95, weight_decay=0.0, eps=1e-12)
    start = torch.zeros(10, 6, dtype=torch.float64)
    return farthest(
        walk(hidden(method), start, draw, 20, **hyper), walk(hidden(ASGO), start, draw, 20, **hyper)
    )


@claim(
    "DASGO",
    ONE_SIDED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("DASGO", beta2=0.95),
    seeds=2,
)
def diagonal_asgo_without_averages_moves_all_columns_alike(method: Any, seed: int) -> float:
    """Without momentum and averages every column of a step has one length, whatever the gradient's columns have.

    The largest relative difference of the lengths of columns over 5 steps of 8 × 6 gradients, columns of random sizes.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 8, 6)(t, w) * 10.0 ** noise(seed + 1, 1, 6)(t, w)

    hyper = dict(lr=1.0, momentum=0.0, beta2=0.0, weight_decay=0.0, eps=1e-20)
    points = walk(hidden(method), torch.zeros(8, 6, dtype=torch.float64), draw, 5, **hyper)
    worst = 0.0
    for a, b in itertools.pairwise(points):
        lengths = (b - a).norm(dim=0)
        worst = max(worst, float(lengths.max() / lengths.min()) - 1)
    return worst


# width ---------------------------------------------------------------------------------------------------------------


def mlp(width: int) -> nn.Sequential:
    layers = nn.Linear(8, width, bias=False), nn.Tanh(), nn.Linear(width, width, bias=False), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(width, 1, bias=False)).double()


def with_widths(model: nn.Module, narrow: nn.Module) -> Any:
    """Shampoo with the paper's scales."""
    from ...optimizers import Shampoo

    mup.init_(model, narrow)
    return Shampoo(mup.shampoo_groups(model, narrow, lr=0.3, eps=1e-6))


def without_widths(model: nn.Module, narrow: nn.Module) -> Any:
    """Shampoo with the same rate and damping at every width, in torch's initial weights."""
    from ...optimizers import Shampoo

    return Shampoo(model.parameters(), lr=0.3, eps=1e-6)


@claim(
    "Shampoo",
    WIDTH,
    kind="empirical",
    predicts=between(0.8, 1.25),
    tolerance=0.0,
    wrong=without_widths,
    subject=with_widths,
    seeds=3,
    scale="tanh networks of two hidden layers, 32 and 128 wide, 16 samples of 8 inputs",
)
def one_step_moves_features_alike_at_every_width(method: Any, seed: int) -> float:
    """With rate, damping and initial weights scaled with the width as the paper has it, one step of Shampoo changes the
    features of every layer, and the output, by amounts that do not depend on the width.

    The root mean square change after one step, 128 wide over 32 wide, each the mean over four draws: that of the layer
    where it is farthest from 1.
    """
    narrow = mlp(32)

    def changes(width: int, start: int) -> Tensor:
        torch.manual_seed(start)
        x, y = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 1, dtype=torch.float64)
        model = mlp(width)
        opt = method(model, narrow)

        def features() -> list[Tensor]:
            found = [x]
            for layer in model:
                found.append(layer(found[-1]))
            return [found[2], found[4], found[5]]

        before = features()
        (before[-1] - y).square().mean().backward()
        opt.step()
        after = features()
        return torch.stack(
            [(b - a).detach().square().mean().sqrt() for a, b in zip(before, after, strict=True)]
        )

    wide, slim = (torch.stack([changes(w, 10 * seed + k) for k in range(4)]).sum(0) for w in (128, 32))
    return max((wide / slim).tolist(), key=lambda r: max(r, 1 / r))
