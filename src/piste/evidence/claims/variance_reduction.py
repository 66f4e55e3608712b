"""MARS's corrected gradients, and Sophia's curvature from labels that the model draws."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from ..._closure import closure
from ..._registry import get
from ..claim import at_most, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix
from .norms import _given
from .papers import SOPHIA
from .recursive import MARS
from .wrong import instead, told


def of_all_sizes(seed: int, *shape: int) -> Any:
    """Gaussian gradients of which some are shorter than 1, and some far longer."""
    draw = noise(seed, *shape)
    return lambda t, w: draw(t, w) * 10.0 ** (t % 5 - 3)


def clipped(draw: Any) -> Any:
    """The same gradients, none longer than 1."""
    return lambda t, w: draw(t, w) / max(1.0, float(draw(t, w).norm()))


@claim(
    "MARSAdamW",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=told("MARSAdamW", gamma=0.025),
    seeds=2,
)
def mars_without_correction_is_adamw_on_clipped_gradients(method: Any, seed: int) -> float:
    """With γ = 0 nothing is corrected: MARS-AdamW is AdamW, the gradients longer than 1 cut to the length 1.

    The largest difference over 60 steps on gradients of lengths from 0.005 to 50.
    """
    draw, start = of_all_sizes(seed, 5, 4), matrix(seed, 5, 4)
    hyper = {"lr": 0.01, "betas": (0.95, 0.99), "weight_decay": 0.1}
    ours = walk(method, start, draw, 60, gamma=0.0, **hyper)
    return farthest(ours, walk(get("AdamW", "optimizer").target, start, clipped(draw), 60, **hyper))


@claim(
    "MARSAdamW",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("MARSAdamW", gamma=0.025),
    seeds=2,
)
def mars_averages_as_lion_does(method: Any, seed: int) -> float:
    """While nothing is clipped the average of corrected gradients is Lion's blend of two momenta: γ times today's
    gradient and 1-γ times the plain average of all.

    The largest difference over 60 steps between the first moment, read from the state, and (1-γ)n + γg with n the
    average of the gradients, over their size; β = 0.9, γ = 0.3.
    """
    beta, gamma, draw = 0.9, 0.3, noise(seed, 5, 4)
    w = torch.nn.Parameter(matrix(seed, 5, 4))
    opt = method([w], lr=0.01, betas=(beta, 0.99), gamma=gamma)
    average, worst = torch.zeros(5, 4, dtype=torch.float64), 0.0
    for t in range(60):
        w.grad = g = 0.002 * draw(t, w)
        opt.step()
        average = beta * average + (1 - beta) * g
        blend = (1 - gamma) * average + gamma * g
        worst = max(worst, float((opt.state[w]["exp_avg"] - blend).abs().max()))
    return worst / 0.002


@claim(
    "MARSLion",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("MARSLion", gamma=0.3),
    seeds=2,
)
def mars_lion_without_correction_is_lion_on_clipped_gradients(method: Any, seed: int) -> float:
    """With γ = 0 MARS-Lion is Lion with two equal betas, the sign of one average, the gradients longer than 1 cut to
    the length 1.

    The largest difference over 60 steps on gradients of lengths from 0.005 to 50, β = 0.95.
    """
    draw, start = of_all_sizes(seed, 5, 4), matrix(seed, 5, 4)
    hyper = {"lr": 0.01, "weight_decay": 0.1}
    ours = walk(method, start, draw, 60, beta1=0.95, gamma=0.0, **hyper)
    lion = get("Lion", "optimizer").target
    return farthest(ours, walk(lion, start, clipped(draw), 60, betas=(0.95, 0.95), **hyper))


@claim(
    "MARSShampoo",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=told("MARSShampoo", gamma=0.0),
    seeds=2,
)
def muon_is_mars_shampoo_with_one_gamma(method: Any, seed: int) -> float:
    """As Lion is a case of MARS-Lion, so is Muon with Nesterov's momentum μ one of MARS-Shampoo: while nothing is
    clipped it is that with β = μ and γ = 1-μ.

    The largest difference over 30 steps on Gaussian gradients, 8 × 5, μ = 0.9.
    """
    mu, random, start = 0.9, noise(seed, 8, 5), matrix(seed, 8, 5)

    def small(t: int, w: Tensor) -> Tensor:
        return 0.002 * random(t, w)

    hyper = {"lr": 0.01, "weight_decay": 0.1}
    ours = walk(_given(method), start, small, 30, beta1=mu, gamma=1 - mu, **hyper)
    return farthest(
        ours, walk(_given(get("Muon", "optimizer").target), start, small, 30, momentum=mu, **hyper)
    )


@claim(
    "MARSShampoo",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=instead("MARSLion"),
    seeds=2,
)
def mars_shampoo_does_not_see_turned_axes(method: Any, seed: int) -> float:
    """Correction, clipping and the polar factor all turn with the axes: where rows and columns of the gradients are
    turned, so is the path.

    The largest difference of two runs of 25 steps, on gradients and on U gradient Vᵀ, the latter turned back; 6 × 9,
    lengths from 0.005 to 50.
    """
    u, v = (torch.linalg.qr(matrix(seed + k, k, k))[0] for k in (6, 9))
    draw, start = of_all_sizes(seed, 6, 9), torch.zeros(6, 9, dtype=torch.float64)
    hyper = {"lr": 0.01, "gamma": 0.3}
    plain = walk(_given(method), start, draw, 25, **hyper)
    turned = walk(_given(method), start, lambda t, w: u @ draw(t, w) @ v.mT, 25, **hyper)
    return farthest(plain, [u.mT @ x @ v for x in turned])


@claim(
    "ExactMARSAdamW",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("ExactMARSAdamW", gamma=0.9),
    seeds=2,
)
def exact_mars_with_gamma_one_is_storm(method: Any, seed: int) -> float:
    """With γ = 1 the average is STORM's recursive estimate: m ← ∇f_B(w) + β(m - ∇f_B(w₋)), both gradients on today's
    batch B.

    The largest difference of the first moment, read from the state, from that recursion over 60 steps of least squares
    in batches of 4 of 40, from the second step on; β = 0.9.
    """
    beta, random = 0.9, torch.Generator().manual_seed(seed)
    inputs, targets = 0.05 * matrix(seed, 40, 6), 0.05 * matrix(seed + 1, 40, 1).squeeze(1)
    w = torch.nn.Parameter(matrix(seed + 2, 1, 6).squeeze(0))
    opt, before, worst = method([w], lr=0.01, betas=(beta, 0.99), gamma=1.0), w.detach().clone(), 0.0

    def slope(x: Tensor, batch: Tensor) -> Tensor:
        a = inputs[batch]
        return a.mT @ (a @ x - targets[batch]) / len(batch)

    average = torch.zeros(6, dtype=torch.float64)
    for t in range(60):
        batch, here = torch.randperm(40, generator=random)[:4], w.detach().clone()

        def evaluate(batch: Tensor = batch) -> Tensor:
            w.grad = slope(w.detach(), batch)
            return w.new_zeros(())

        opt.step(evaluate)
        want = slope(here, batch) + beta * (average - slope(before, batch))
        average, before = opt.state[w]["exp_avg"].clone(), here
        worst = max(worst, float((average - want).abs().max()) if t else 0.0)
    return worst


class AtTheGivenLabels:
    """Sophia-G on the empirical Fisher's diagonal: the gradient of the labels that are there, and none drawn."""

    def __init__(self, params: Any, **hyper: Any) -> None:
        self._opt = get("SophiaG", "optimizer").target(params, **hyper)
        self.state = self._opt.state

    def step(self, evaluate: Any) -> None:
        evaluate.drawn = evaluate.forward
        self._opt.step(evaluate)


class Classifier:
    """Softmax regression of 3 classes on 4 inputs, whose given labels have nothing to do with the inputs."""

    def __init__(self, seed: int, samples: int, spread: float = 1.0) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.model = nn.Linear(4, 3, bias=False, dtype=torch.float64)
        self.weight = self.model.weight
        with torch.no_grad():
            self.weight.copy_(matrix(seed, 3, 4))
        self.inputs = matrix(seed + 50, samples, 4) * spread

    def loss(self, drawn: bool, inputs: Tensor) -> Tensor:
        logits = self.model(inputs)
        chances = logits.detach().softmax(-1) if drawn else torch.ones_like(logits)
        labels = torch.multinomial(chances, 1, generator=self.random).squeeze(-1)
        return nn.functional.cross_entropy(logits, labels)

    def closure(self, inputs: Tensor) -> Any:
        return closure(
            lambda x: self.loss(False, x), [inputs], self.model, sampled=lambda x: self.loss(True, x)
        )


@claim(
    "SophiaG",
    SOPHIA,
    kind="theorem",
    predicts=at_most(4.5),
    tolerance=0.0,
    wrong=AtTheGivenLabels,
    seeds=3,
)
def sampled_labels_give_the_gauss_newton_diagonal(method: Any, seed: int) -> float:
    """The Gauss-Newton-Bartlett estimator is unbiased: B times the squared mean gradient of B drawn labels has the
    Gauss-Newton diagonal for its mean.

    The largest difference between the mean of 300 estimates, read from the state with β₂ = 0, and the diagonal, in
    standard errors of that mean; softmax regression of 3 classes on 4 inputs, B = 6. The errors are exact, from all
    outcomes of the labels: the estimates' own are far too small where a label that matters is rare and never drawn.
    """
    task = Classifier(seed, 6)
    opt = method([task.weight], lr=0.0, betas=(0.9, 0.0), update_each=1, bs=6.0)
    seen = []
    for _ in range(300):
        opt.step(task.closure(task.inputs))
        seen.append(6.0 * opt.state[task.weight]["hessian"])
    chances = (task.inputs @ task.weight.detach().mT).softmax(-1)
    diagonal = (chances * (1 - chances)).mT @ task.inputs.square() / 6.0
    drawn, p = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 6), chances.mT.unsqueeze(1)
    likely = (p * drawn + (1 - p) * (1 - drawn)).prod(-1, keepdim=True)
    squares = ((p - drawn) @ task.inputs).square() / 6.0
    variance = (likely * squares.square()).sum(1) - diagonal.square()
    return float(((torch.stack(seen).mean(0) - diagonal).abs() / (variance / 300).sqrt()).max())


@claim(
    "SophiaG", SOPHIA, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=instead("SGD"), seeds=3
)
def stale_curvature_moves_no_entry_further_than_the_rate(method: Any, seed: int) -> float:
    """The clipping bounds the worst case: however rarely and roughly the curvature is seen, no entry moves by more than
    the rate.

    The largest entry of a step over η in 60 steps of softmax regression whose batches of 6 are up to 1,000 times as
    large as the one in ten at which the curvature is renewed; without weight decay.
    """
    task = Classifier(seed, 60)
    hyper: dict[str, Any] = {"rho": 0.05, "update_each": 10, "bs": 6.0, "weight_decay": 0.0}
    opt, points = method([task.weight], lr=0.01, **hyper), [task.weight.detach().clone()]
    for t in range(60):
        batch = torch.randperm(60, generator=task.random)[:6]
        opt.step(task.closure(task.inputs[batch] * 10.0 ** (t % 10 / 3)))
        points.append(task.weight.detach().clone())
    return max(float((b - a).abs().max()) for a, b in itertools.pairwise(points)) / 0.01
