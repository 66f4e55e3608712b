"""Weighted sums of models, and of what they learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._method import Tensors, method


def mixed(tensors: Tensors, weights: Sequence[float]) -> Tensor:
    """Σ w_i θ_i, one model at a time."""
    total = tensors[0] * weights[0]
    for t, w in zip(tensors[1:], weights[1:], strict=True):
        total.add_(t, alpha=w)
    return total


@method(normalized=True, elementwise=True)
def soup(tensors: Tensors, weights: Sequence[float]) -> Tensor:
    """θ = Σ w_i θ_i with weights that sum to one: equal ones unless they are given.

    Of models fine-tuned from one start with different hyperparameters, it costs no more at inference than one of them.
    Two of weights 1-α and α are WiSE-FT's interpolation between a model and its fine-tuned self. Of runs that differ in
    more than seeds it is DiWA; of models of several tasks, without their heads, a better start for the next task than
    the one they came from ("fusing").

    Reference: "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
    inference time", Mitchell Wortsman, Gabriel Ilharco, Samir Yitzhak Gadre, Rebecca Roelofs, Raphael Gontijo-Lopes,
    Ari S. Morcos, Hongseok Namkoong, Ali Farhadi, Yair Carmon, Simon Kornblith, Ludwig Schmidt, 2022,
    https://arxiv.org/abs/2203.05482
    Reference: "Diverse Weight Averaging for Out-of-Distribution Generalization", Alexandre Ramé, Matthieu Kirchmeyer,
    Thibaud Rahier, Alain Rakotomamonjy, Patrick Gallinari, Matthieu Cord, 2022, https://arxiv.org/abs/2205.09739
    Reference: "Fusing finetuned models for better pretraining", Leshem Choshen, Elad Venezian, Noam Slonim, Yoav Katz,
    2022, https://arxiv.org/abs/2204.03044
    """
    return mixed(tensors, weights)


@method(least=1, most=1, elementwise=True)
def wise_ft(tensors: Tensors, base: Tensor, *, alpha: float = 0.5) -> Tensor:
    """θ = (1-α)θ₀ + αθ₁: from a pre-trained model to its fine-tuned self.

    It keeps much of what the first does on shifted data and nearly all of what the second does on its own. BANG
    calibrates the second before: fine-tune with label smoothing and mixup, since where one end is overconfident the
    middle follows it alone.

    Reference: "Robust fine-tuning of zero-shot models", Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, Mike Li,
    Simon Kornblith, Rebecca Roelofs, Raphael Gontijo-Lopes, Hannaneh Hajishirzi, Ali Farhadi, Hongseok Namkoong, Ludwig
    Schmidt, 2021, https://arxiv.org/abs/2109.01903
    Reference: "Spurious Feature Diversification Improves Out-of-distribution Generalization", Yong Lin, Lu Tan, Yifan
    Hao, Honam Wong, Hanze Dong, Weizhong Zhang, Yujiu Yang, Tong Zhang, 2023, https://arxiv.org/abs/2309.17230
    """
    return mixed([base, tensors[0]], [1 - alpha, alpha])


@method(elementwise=True)
def task_arithmetic(
    tensors: Tensors, base: Tensor, weights: Sequence[float], *, scale: float = 1.0
) -> Tensor:
    """θ = θ₀ + λ Σ w_i (θ_i - θ₀): what was learned is added; with a negative weight it is taken away.

    Reference: "Editing Models with Task Arithmetic", Gabriel Ilharco, Marco Tulio Ribeiro, Mitchell Wortsman, Suchin
    Gururangan, Ludwig Schmidt, Hannaneh Hajishirzi, Ali Farhadi, 2022, https://arxiv.org/abs/2212.04089
    """
    return base + scale * mixed([t - base for t in tensors], weights)


@method(least=2, most=2)
def slerp(tensors: Tensors, *, t: float = 0.5) -> Tensor:
    """From one model to another along the arc between their directions, tensor by tensor.

        θ = (sin((1-t)Ω) θ_a + sin(tΩ) θ_b) / sin Ω,    cos Ω = ⟨θ_a, θ_b⟩ / (‖θ_a‖ ‖θ_b‖)

    Where they point one way or opposite ways (|cos Ω| > 0.9995) it is the straight line. The usual practice, not a
    paper's method.

    Reference: "Animating Rotation with Quaternion Curves", Ken Shoemake, 1985, https://doi.org/10.1145/325334.325242
    """
    a, b = tensors
    norms = a.norm() * b.norm()
    cosine = (a * b).sum() / norms if norms > 0 else a.new_ones(())
    if cosine.abs() > 0.9995:
        return mixed(tensors, [1 - t, t])
    angle = torch.acos(cosine)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


@method(least=2)
def model_stock(tensors: Tensors, base: Tensor) -> Tensor:
    """θ = t θ̄ + (1-t) θ₀: the mean θ̄ of N fine-tuned models, drawn to where they came from as far as they disagree.

        t = N cos φ / (1 + (N-1) cos φ),    φ the angle between θ_i - θ₀ and θ_j - θ₀

    It is nearest to the centre of all models that could have been fine-tuned, where each lies at the same distance from
    it: two are enough. For more, cos φ is the mean over pairs. A tensor that did not move, or whose moves cancel (1 +
    (N-1) cos φ = 0), stays the base. As in the paper t is not bounded: moves that oppose each other give a t below 0.

    Reference: "Model Stock: All we need is just a few fine-tuned models", Dong-Hwan Jang, Sangdoo Yun, Dongyoon Han,
    2024, https://arxiv.org/abs/2403.19522
    """
    moves = [(t - base).flatten() for t in tensors]
    lengths = [m.norm() for m in moves]
    pairs = [(i, j) for j in range(len(moves)) for i in range(j)]
    cosines = [torch.dot(moves[i], moves[j]) / (lengths[i] * lengths[j]) for i, j in pairs]
    n, cosine = len(moves), torch.stack(cosines).nan_to_num().clamp(-1, 1).mean()
    under = 1 + (n - 1) * cosine
    t = n * cosine / under if under.abs() > 1e-6 else torch.zeros_like(under)
    return base + t / n * mixed(moves, [1.0] * n).view_as(base)
