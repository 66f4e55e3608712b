"""How large a batch would have to be for its gradient to be trusted: tests on the gradients of its samples.
 Each takes the gradients of the b samples of a batch, by parameter, [b, …], and returns the batch size that the test
asks for: where it is at most b the test passes. Variances are unbiased. Give the largest of it and b to
:meth:`piste.batches.AdaptiveBatchSampler.grow`, which never shrinks and knows a bound: near a stationary point the
tests ask for ever more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from .._registry import register

Gradients = Mapping[str, Tensor]


def per_sample_gradients(
    model: nn.Module,
    loss: Callable[..., Tensor],
    inputs: Tensor,
    *targets: Tensor,
    chunk_size: int | None = None,
) -> dict[str, Tensor]:
    """The gradient of ``loss(model(x), *y)`` at each sample, by parameter: [b, …]. ``chunk_size`` bounds how many are
    computed at once."""
    params = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    rest = {n: p for n, p in model.named_parameters() if not p.requires_grad} | dict(model.named_buffers())

    def one(params: dict[str, Tensor], x: Tensor, *y: Tensor) -> Tensor:
        return loss(functional_call(model, (params, rest), (x.unsqueeze(0),)), *(t.unsqueeze(0) for t in y))

    return vmap(grad(one), (None, 0, *[0] * len(targets)), chunk_size=chunk_size, randomness="different")(
        params, inputs, *targets
    )


def _rows(gradients: Gradients, what: str, share: float) -> Tensor:
    """[b, d] in float64."""
    if not share > 0:
        raise ValueError(f"{what}: its share must be over 0; got {share!r}")
    rows = torch.cat([g.flatten(1).double() for g in gradients.values()], 1)
    if len(rows) < 2:
        raise ValueError(f"{what}: a variance needs two samples or more; got {len(rows)}")
    return rows


def _size(spread: Tensor, allowed: Tensor) -> float:
    return float(spread / allowed) if allowed > 0 else (math.inf if spread > 0 else 1.0)


def norm_test(gradients: Gradients, eta: float = 0.1) -> float:
    """T = tr Cov(g_i) / (η² ‖g‖²): the size at which the error of the mean gradient is η of its length.

    Reference: "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods", Tim Tsz-Kit Lau, Han Liu, Mladen
    Kolar, 2024, https://arxiv.org/abs/2402.11215 (the test: Byrd, Chin, Nocedal, Wu, 2012)
    """
    rows = _rows(gradients, "norm_test", eta)
    return _size(rows.var(0).sum(), eta**2 * rows.mean(0).square().sum())


def coordinate_test(gradients: Gradients, eta: float = 0.1) -> float:
    """T = max_j Var(g_ij) / (η² g_j²): the norm test for every coordinate by itself, for AdaGrad's own rates.

    A coordinate whose mean gradient is 0 and which varies asks for an infinite batch. The authors use it in their
    theory and the norm test in their experiments; its constants there were not seen, and η is one for all here.

    Reference: "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods", Tim Tsz-Kit Lau, Han Liu, Mladen
    Kolar, 2024, https://arxiv.org/abs/2402.11215
    """
    rows = _rows(gradients, "coordinate_test", eta)
    spread, mean = rows.var(0), rows.mean(0).square()
    asked = torch.where(spread > 0, spread / (eta**2 * mean), 1.0)
    return float(asked.max())


def inner_product_test(gradients: Gradients, theta: float = 0.1) -> float:
    """T = Var⟨g_i, g⟩ / (ϑ² ‖g‖⁴): the size at which samples agree how far to go along the mean gradient.

    Over all parameters as one vector (the authors' code adds up the tests of the parameters).

    Reference: "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods", Tim Tsz-Kit Lau, Han Liu, Mladen
    Kolar, 2024, https://arxiv.org/abs/2402.11215 (the test: Bollapragada, Byrd, Nocedal, 2018)
    """
    rows = _rows(gradients, "inner_product_test", theta)
    mean = rows.mean(0)
    return _size((rows @ mean).var(), theta**2 * mean.square().sum() ** 2)


def orthogonality_test(gradients: Gradients, nu: float = 0.1) -> float:
    """T = tr Cov(g_i - (⟨g_i, g⟩ / ‖g‖²) g) / (ν² ‖g‖²): the same for what lies across the mean gradient.

    Reference: "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods", Tim Tsz-Kit Lau, Han Liu, Mladen
    Kolar, 2024, https://arxiv.org/abs/2402.11215 (the test: Bollapragada, Byrd, Nocedal, 2018)
    """
    rows = _rows(gradients, "orthogonality_test", nu)
    mean = rows.mean(0)
    size = mean.square().sum()
    if size == 0:
        return math.inf
    across = rows - (rows @ mean / size).unsqueeze(-1) * mean
    return _size(across.var(0).sum(), nu**2 * size)


def augmented_inner_product_test(gradients: Gradients, theta: float = 0.1, nu: float = 0.1) -> float:
    """The larger of :func:`inner_product_test` and :func:`orthogonality_test`.

    Reference: "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods", Tim Tsz-Kit Lau, Han Liu, Mladen
    Kolar, 2024, https://arxiv.org/abs/2402.11215
    """
    return max(inner_product_test(gradients, theta), orthogonality_test(gradients, nu))


_TESTS: tuple[Callable[..., Any], ...] = (
    norm_test, coordinate_test, inner_product_test, orthogonality_test, augmented_inner_product_test,
)  # fmt: skip
for _test in _TESTS:
    register("batch", _test.__name__, _test)
