"""A model between two for each sample, by how sure each of them is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .._registry import register


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """In nats, of each row."""
    log = (logits / temperature).log_softmax(-1)
    return -(log.exp() * log).sum(-1)


def coefficients(first: Tensor, last: Tensor, offset: bool = False) -> Tensor:
    """λ = e^(-H₁) / (e^(-H₀) + e^(-H₁)) from entropies of the two models' predictions, [batch].

    ``offset`` evens out how far each model's entropies spread over these samples (two or more):
    λ = (e^(-H₁) + b/w) / (e^(-H₀) + e^(-H₁) + b), b the mean of std/mean of both, w = (mean H₀ + mean H₁) / mean H₀.
    """
    sure0, sure1 = (-first).exp(), (-last).exp()
    if not offset:
        return sure1 / (sure0 + sure1)
    b = (first.std() / first.mean() + last.std() / last.mean()) / 2
    w = (first.mean() + last.mean()) / first.mean()
    return (sure1 + b / w) / (sure0 + sure1 + b)


class BetaMixture:
    """A mixture of Beta distributions on (0, 1), fitted by expectation and moments.

        var ← min(var, m(1-m)/4),  s = m(1-m)/var - 1,  a = sm,  b = s(1-m)

    Components start from equal shares of the sorted samples. ``means`` are a/(a + b).
    """

    def __init__(self, x: Tensor, components: int, steps: int = 1000, tolerance: float = 1e-4) -> None:
        if len(x) < components:
            raise ValueError(f"{components} components want as many samples; got {len(x)}")
        self.x = x.double().clamp(1e-6, 1 - 1e-6)
        self.members = torch.zeros(len(x), components, dtype=torch.float64)
        for k, rows in enumerate(self.x.argsort().tensor_split(components)):
            self.members[rows, k] = 1.0
        last = -torch.inf
        for _ in range(steps):
            log = self._fitted()
            whole = log.logsumexp(-1, keepdim=True)
            self.members = (log - whole).exp()
            now = float(whole.mean())
            if abs(now - last) < tolerance:
                break
            last = now

    def _fitted(self) -> Tensor:
        """Parameters by moments; the log of each component's share of each sample."""
        r = self.members + 1e-12
        n, x = r.sum(0), self.x.unsqueeze(-1)
        mean = (r * x).sum(0) / n
        most = mean * (1 - mean) / 4
        var = torch.minimum((r * (x - mean) ** 2).sum(0) / n, most).clamp(min=1e-10)
        s = mean * (1 - mean) / var - 1
        self.means = mean
        beta = torch.distributions.Beta(s * mean, s * (1 - mean))
        return beta.log_prob(x) + (n / n.sum()).log()

    def nearest(self) -> Tensor:
        """The component of each sample."""
        return self.members.argmax(-1)


class DaWin(nn.Module):
    """Two models of one architecture as one, their weights mixed anew for each sample by the entropies of their
    predictions. Nothing is trained.

        θ(x) = (1 - λ(x)) θ₀ + λ(x) θ₁,    λ(x) = e^(-H₁(x)) / (e^(-H₀(x)) + e^(-H₁(x)))

    ``clusters``: samples of a batch share this many coefficients, the means of a mixture of Beta distributions over all
    λ of the batch, so that a batch takes as many merged models; None: each sample has its own. ``temperatures`` divide
    the logits of each before the entropy; ``offset``: see :func:`coefficients`. Both look at the batch as a whole: an
    answer then depends on what else is asked with it.

    The models map [batch, …] to logits [batch, classes]; both are used in evaluation mode.

    Reference: "DaWin: Training-free Dynamic Weight Interpolation for Robust Adaptation", Changdae Oh, Yixuan Li,
    Kyungwoo Song, Sangdoo Yun, Dongyoon Han, 2024, https://arxiv.org/abs/2410.03782
    """

    def __init__(
        self, first: nn.Module, last: nn.Module, clusters: int | None = 3,
        temperatures: tuple[float, float] = (1.0, 1.0), offset: bool = False, chunk_size: int | None = 32,
    ) -> None:  # fmt: skip
        super().__init__()
        shapes = [{n: p.shape for n, p in m.state_dict().items()} for m in (first, last)]
        if shapes[0] != shapes[1]:
            odd = sorted(n for n in {**shapes[0], **shapes[1]} if shapes[0].get(n) != shapes[1].get(n))
            raise ValueError(f"DaWin mixes two models of one architecture; these differ in {', '.join(odd)}")
        if clusters is not None and clusters < 1:
            raise ValueError(f"clusters is a count of at least 1, or None; got {clusters}")
        self.first, self.last = first.eval(), last.eval()
        self.clusters, self.temperatures, self.offset, self.chunk_size = (
            clusters,
            temperatures,
            offset,
            chunk_size,
        )

    def forward(self, x: Tensor) -> Tensor:
        share = self.coefficients(x)
        first, last = (
            {**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (self.first, self.last)
        )

        def at(weight: Tensor) -> dict[str, Tensor]:
            return {n: t + weight * (last[n] - t) if t.is_floating_point() else t for n, t in first.items()}

        if self.clusters is None or len(x) <= self.clusters:

            def one(row: Tensor, weight: Tensor) -> Tensor:
                return functional_call(self.first, at(weight), (row.unsqueeze(0),))[0]

            return vmap(one, chunk_size=self.chunk_size)(x, share)
        mixture = BetaMixture(share, self.clusters)
        nearest, out = mixture.nearest(), [x.new_empty(0)] * len(x)
        for k in nearest.unique().tolist():
            rows = (nearest == k).nonzero().flatten()
            made = functional_call(self.first, at(mixture.means[k].to(share.dtype)), (x[rows],))
            for i, row in zip(rows.tolist(), made, strict=True):
                out[i] = row
        return torch.stack(out)

    @torch.no_grad()
    def coefficients(self, x: Tensor) -> Tensor:
        """λ of each sample."""
        models: tuple[Any, Any] = (self.first, self.last)
        h0, h1 = (entropy(m(x), t) for m, t in zip(models, self.temperatures, strict=True))
        return coefficients(h0, h1, self.offset)


register("merge", "DaWin", DaWin)
