"""Muon's kin: rescaled rows, even neurons, clipped heads, lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..._signals import report
from ...linalg.polar import newton_schulz, newton_schulz_rescaled
from ...transforms.spectral import SCALES
from ..claim import at_least, at_most, claim, equal
from .matrices import matrix
from .orthogonal import TURBO
from .papers import OLD_NEW

NORMUON = "NorMuon: Making Muon more efficient and scalable"
KIMI = "Kimi K2: Open Agentic Intelligence"


def made(method: Any, params: list[torch.nn.Parameter], **hyper: Any) -> Any:
    """The optimizer with all parameters as hidden matrices: nothing is routed."""
    return method([method.group(params, **hyper)]) if hasattr(method, "group") else method(params, **hyper)


def other(name: str, **fixed: Any) -> Callable[..., Any]:
    """Another method, or the same one told otherwise."""

    def make(params: list[torch.nn.Parameter], **hyper: Any) -> Any:
        method: Any = get(name, "optimizer").target
        known = {k: v for k, v in hyper.items() if k in method.factory.defaults}
        return made(method, params, **{**known, **fixed})

    return make


def steps(method: Any, gradients: list[Tensor], **hyper: Any) -> list[Tensor]:
    """What each step of rate 1 subtracts from a matrix."""
    w = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    opt, taken = made(method, [w], lr=1.0, **hyper), []
    for g in gradients:
        before, w.grad = w.detach().clone(), g.clone()
        opt.step()
        taken.append(before - w.detach())
    return taken


def unevenness(x: Tensor) -> float:
    """‖XXᵀ - I‖."""
    return float((torch.linalg.svdvals(x).square() - 1).norm())


# Turbo-Muon ------------------------------------------------------------------------------------------------------


def rescaled(g: Tensor) -> Tensor:
    return newton_schulz_rescaled(g, 1, ((1.0, 0.0, 0.0),))


@claim(
    "TurboMuon",
    TURBO,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=lambda g: g / g.norm(dim=-1, keepdim=True),
    subject=rescaled,
    seeds=5,
)
def rescaled_rows_bound_the_norm(method: Any, seed: int) -> float:
    """Rows divided by the root of the absolute row sums of the Gram matrix make a matrix of spectral norm at most 1, as
    the division by the Frobenius norm does.

    The largest norm of Gaussian, all-positive, nearly dependent and badly scaled 12 × 20 matrices.
    """
    g = matrix(seed, 12, 20)
    scale = torch.logspace(0, -6, 12, dtype=torch.float64)[:, None]
    tried = (g, g.abs(), g[:1] + 1e-3 * g, scale * g)
    return max(float(torch.linalg.matrix_norm(method(x), 2)) for x in tried)


@claim(
    "TurboMuon",
    TURBO,
    kind="theorem",
    predicts=at_least(1.0),
    tolerance=1e-9,
    wrong=lambda g: newton_schulz(g, 1, ((1.0, 0.0, 0.0),)),
    subject=rescaled,
    seeds=5,
)
def rescaled_rows_are_orthogonal_where_they_can_be(method: Any, seed: int) -> float:
    """Of a matrix whose rows are orthogonal the rescaled one is orthogonal at once: all singular values are 1.

    The smallest singular value, rows of lengths over five orders of magnitude; the Frobenius norm leaves 1e-5.
    """
    rows = torch.linalg.qr(matrix(seed, 20, 12))[0].mT
    g = torch.logspace(0, -5, 12, dtype=torch.float64)[:, None] * rows
    return float(torch.linalg.svdvals(method(g)).min())


@claim(
    "TurboMuon",
    TURBO,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.05,
    wrong=other("Muon", ns_steps=4),
    seeds=5,
    scale="128 × 128 and 96 × 160 Gaussian matrices, and 128 × 128 ones of condition 100",
)
def four_rescaled_iterations_do_for_five(method: Any, seed: int) -> float:
    """With rescaled rows one of five iterations can go without loss of orthogonality.

    The largest ratio of ‖XXᵀ - I‖ of the first step to that of Muon's; Muon itself with four is worse.
    """
    left, _, right = torch.linalg.svd(matrix(seed, 128, 128))
    spread = torch.logspace(0, -2, 128, dtype=torch.float64)
    tried = (matrix(seed, 128, 128), matrix(seed, 96, 160), left * spread @ right)
    muon: Any = get("Muon", "optimizer").target
    return max(unevenness(steps(method, [g])[0]) / unevenness(steps(muon, [g])[0]) for g in tried)


# NorMuon ---------------------------------------------------------------------------------------------------------


def uneven_gradients(seed: int, count: int) -> list[Tensor]:
    """Of a tall matrix, some neurons of which see far larger errors than others."""
    sizes = torch.logspace(0, -2, 48, dtype=torch.float64)[:, None]
    signal = matrix(1000 + seed, 48, 16)
    return [sizes * (signal + matrix(100 * seed + t, 48, 16)) for t in range(count)]


def spread(x: Tensor) -> float:
    """The deviation of the rows' lengths, relative to their mean."""
    rows = x.norm(dim=1)
    return float(rows.std() / rows.mean())


@claim(
    "NorMuon",
    NORMUON,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=other("Muon"),
    seeds=5,
    scale="48 × 16 matrices, errors of the neurons over two orders of magnitude, 60 steps",
)
def neurons_move_evenly(method: Any, seed: int) -> float:
    """Orthogonalized updates have neurons of very different length; normalized by their running size they are nearly
    uniform.

    The relative deviation of the rows' lengths in the last step over that of Muon's.
    """
    gradients = uneven_gradients(seed, 60)
    muon: Any = get("Muon", "optimizer").target
    return spread(steps(method, gradients)[-1]) / spread(steps(muon, gradients)[-1])


@claim(
    "NorMuon", NORMUON, kind="identity", predicts=equal(1.0), tolerance=1e-6, wrong=other("MuonClip"), seeds=3
)
def normalization_keeps_the_size_of_muons_step(method: Any, seed: int) -> float:
    """The normalized update is scaled back to the Frobenius norm that it had, so that Muon's rates carry over.

    The ratio of both steps' norms that is farthest from 1, over 10 steps.
    """
    gradients = uneven_gradients(seed, 10)
    muon: Any = get("Muon", "optimizer").target
    pairs = zip(steps(method, gradients), steps(muon, gradients), strict=True)
    return max((float(a.norm() / b.norm()) for a, b in pairs), key=lambda r: abs(r - 1))


@claim("NorMuon", NORMUON, kind="theorem", predicts=equal(1.0), tolerance=1e-9, wrong=other("AdamW"), seeds=3)
def neurons_cost_one_number_each(method: Any, seed: int) -> float:
    """Its state is Muon's and one number for each row: m(n + 1) where Adam keeps 2mn.

    The numbers kept beyond Muon's, over m.
    """
    m, n = 10 + seed % 7, 30
    params = [torch.nn.Parameter(matrix(seed, m, n).float())]
    return made(method, params, lr=0.0).state_bytes() / 4 / m - n


# MuonClip --------------------------------------------------------------------------------------------------------


class Attention:
    """The logits of two heads of four, of queries and keys of the same tokens."""

    def __init__(self, seed: int, size: float = 1.0) -> None:
        self.x = matrix(seed, 20, 8)
        self.params = [torch.nn.Parameter(size * matrix(seed + i, 8, 8)) for i in (1, 2)]

    def logits(self) -> Tensor:
        q, k = ((self.x @ w.T).unflatten(-1, (2, 4)).transpose(0, 1) for w in self.params)
        return q @ k.mT / 2

    def largest(self) -> Tensor:
        return self.logits().amax((1, 2)).detach()

    def backward(self) -> None:
        """Towards every token attending to itself, which pushes logits up for ever."""
        here = self.largest()
        for p in self.params:
            p.grad = None
            report(p, max_logit=here)
        loss = -self.logits().log_softmax(-1).diagonal(dim1=-2, dim2=-1).mean()
        loss.backward()


@claim("MuonClip", KIMI, kind="theorem", predicts=equal(1.0), tolerance=1e-9, wrong=other("Muon"), seeds=5)
def clipped_heads_are_at_tau(method: Any, seed: int) -> float:
    """Query and key of a head above τ, each shrunk by √(τ / S), give it the largest logit τ on the same input.

    The largest logit over τ after a step of rate 0, where it had been 4 before.
    """
    net = Attention(seed)
    tau = float(net.largest().max()) / 4
    opt = made(method, net.params, lr=0.0, weight_decay=0.0, tau=tau)
    net.backward()
    opt.step()
    return float(net.largest().max()) / tau


@claim(
    "MuonClip",
    KIMI,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,  # a product's last digit depends on where its matrices lie in memory
    wrong=other("MuonClip", tau=0.5),
    seeds=3,
)
def below_tau_it_is_muon(method: Any, seed: int) -> float:
    """Where no head exceeds τ the clip does nothing: its steps are those of Muon without it.

    The largest difference of weights after 10 steps to those with a τ that is never reached.
    """
    ends = []
    for tau, way in ((1e3, method), (1e30, get("MuonClip", "optimizer").target)):
        net = Attention(seed, 0.3)
        opt = made(way, net.params, lr=0.01, tau=tau)
        for _ in range(10):
            net.backward()
            opt.step()
        ends.append([p.detach() for p in net.params])
    return max(float((a - b).abs().max()) for a, b in zip(*ends, strict=True))


@claim(
    "MuonClip",
    KIMI,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.25,
    wrong=other("MuonClip", tau=1e30),
    seeds=6,
    scale="one layer of two heads on 20 tokens, 60 steps, τ = 5",
)
def logits_stay_capped_where_muons_grow(method: Any, seed: int) -> float:
    """Under Muon the largest logit grows without a bound, with the clip it stays at τ.

    The largest logit of the last 15 forward passes over τ; between two clips it may grow by one step's worth.
    """
    net, seen = Attention(seed, 0.3), []
    opt = made(method, net.params, lr=0.1, weight_decay=0.0, tau=5.0)
    for _ in range(60):
        net.backward()
        seen.append(float(net.largest().max()) / 5)
        opt.step()
    return max(seen[-15:])


# scales ----------------------------------------------------------------------------------------------------------


@claim(
    "RMS-to-RMS scale",
    OLD_NEW,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=SCALES["spectral_scale"],
    subject=SCALES["rms_to_rms"],
    seeds=5,
)
def an_orthogonal_step_moves_outputs_by_its_rate_at_any_width(method: Any, seed: int) -> float:
    """√(m/n) times an orthogonal matrix takes inputs of root mean square 1 to outputs of at most 1, whatever m and n.

    The largest root mean square of the outputs over m, n in 4 … 64, inputs along the matrix's own rows included.
    """
    worst = 0.0
    for m, n in ((4, 64), (64, 4), (16, 16), (12, 40)):
        u, _, v = torch.linalg.svd(matrix(seed, m, n), full_matrices=False)
        x = torch.cat([matrix(seed + 1, 30, n), v])
        x = x / x.square().mean(1, keepdim=True).sqrt()
        worst = max(worst, float((method(m, n) * x @ (u @ v).T).square().mean(1).sqrt().max()))
    return worst
