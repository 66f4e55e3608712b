"""The loss between two models: linear mode connectivity, of whole models and of single layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .._registry import register
from .fitting import wide
from .linear import mixed
from .recipe import Recipe
from .running import Merge

Evaluate = Callable[[dict[str, Tensor]], float]


@dataclass(frozen=True)
class LossPath:
    """Losses at (1-α)a + αb, for all of the model (the name "") or where one layer alone goes from a to b."""

    alphas: tuple[float, ...]
    losses: Mapping[str, tuple[float, ...]]

    @property
    def barrier(self) -> float:
        """How far the path rises above the line between its ends, at most: 0 for models in one basin."""
        return self.barrier_of("")

    def barrier_of(self, layer: str) -> float:
        y = self.losses[layer]
        return max(v - (1 - a) * y[0] - a * y[-1] for a, v in zip(self.alphas, y, strict=True))

    def draw(self, path: str | Path) -> None:
        """A picture: the loss along the way, and the barrier of each layer."""
        from matplotlib.figure import Figure

        layers = [n for n in self.losses if n]
        figure = Figure(figsize=(9 if layers else 5, max(3.2, 0.22 * len(layers))), layout="constrained")
        axes = figure.subplots(1, 2 if layers else 1, squeeze=False)[0]
        axes[0].plot(self.alphas, self.losses[""], marker="o", markersize=3, color="#1f5fa8")
        ends = (self.losses[""][0], self.losses[""][-1])
        axes[0].plot((self.alphas[0], self.alphas[-1]), ends, linestyle=":", color="#888888")
        axes[0].set(
            xlabel="α: from the first model to the last", ylabel="loss", title=f"barrier {self.barrier:.3g}"
        )
        if layers:
            axes[1].barh(layers, [self.barrier_of(n) for n in layers], color="#c9722b")
            axes[1].invert_yaxis()
            axes[1].set(xlabel="barrier where this layer alone moves")
            axes[1].tick_params(axis="y", labelsize=7)
        for ax in axes:
            ax.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)


def loss_path(a: Any, b: Any, evaluate: Evaluate, points: int = 11, layers: bool = False) -> LossPath:
    """The loss along the line from a to b (paths, modules or state dicts), which ``evaluate`` computes from a state
    dict.

    ``layers``: also for each layer alone (the tensors of one module), the others staying as in a. That takes ``points``
    evaluations more for each.

    Reference: "Linear Mode Connectivity and the Lottery Ticket Hypothesis", Jonathan Frankle, Gintare Karolina
    Dziugaite, Daniel M. Roy, Michael Carbin, 2019, https://arxiv.org/abs/1912.05671
    """
    if points < 3:
        raise ValueError(
            f"a path has two ends and points between them: points must be at least 3; got {points}"
        )
    merge = Merge(Recipe("soup", [a, b]))
    first = {s.name: merge.models[0].read(s.name) for s in merge.steps}
    last = {s.name: merge.models[1].read(s.name) for s in merge.steps}
    alphas = tuple(i / (points - 1) for i in range(points))

    def along(moving: Sequence[str]) -> Iterator[float]:
        for alpha in alphas:
            moved = {n: _between(first[n], last[n], alpha) for n in moving}
            yield float(evaluate({**first, **moved}))

    found = {"": tuple(along([*first]))}
    for layer in dict.fromkeys(n.rpartition(".")[0] for n in first) if layers else ():
        found[layer or "(top)"] = tuple(along([n for n in first if n.rpartition(".")[0] == layer]))
    return LossPath(alphas, found)


def _between(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    if not a.dtype.is_floating_point:
        return a
    return mixed([a.to(wide(a.dtype)), b.to(wide(a.dtype))], [1 - alpha, alpha]).to(a.dtype)


register("merge", "loss_path", loss_path)
