"""Several copies of each layer, trained in ever new combinations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._registry import register

LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


class _OneOf(nn.Module):
    """Copies of a layer, of which each forward in training draws one."""

    def __init__(self, layer: nn.Module, copies: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(layer) for _ in range(copies))
        self.mean = True

    def forward(self, *inputs: Any) -> Any:
        if self.training or not self.mean:
            return self.copies[int(torch.randint(len(self.copies), ()))](*inputs)
        return torch.func.functional_call(self.copies[0], averages(self), inputs)


def averages(layer: _OneOf) -> dict[str, Tensor]:
    """The mean of the copies, parameter by parameter."""
    return {
        n: torch.stack([c.get_parameter(n) for c in layer.copies]).mean(0)
        for n, _ in layer.copies[0].named_parameters()
    }


class DeepCombination(nn.Module):
    """A model whose linear and convolutional layers are each there n times; a training forward draws one of each.

    In evaluation it is DCWA: each layer has the mean of its copies. ``draws()`` evaluates random combinations instead
    (DCA), an ensemble of n^layers members. No schedule of its own, and normalizations are shared, so that no statistics
    want re-estimation. Copies begin equal; which of them a batch reaches makes them differ.

    :meth:`consistency` is the loss that makes combinations agree. :meth:`average` is the plain model at the end.

    Reference: "Deep Combinatorial Aggregation", Yuesong Shen, Daniel Cremers, 2022, https://arxiv.org/abs/2210.06436
    """

    def __init__(self, model: nn.Module, copies: int = 5) -> None:
        super().__init__()
        if copies < 1:
            raise ValueError(f"DeepCombination: copies is a count of at least 1; got {copies}")
        self.model, self.n = copy.deepcopy(model), copies
        found = [name for name, layer in self.model.named_modules() if isinstance(layer, LAYERS)]
        if not found:
            raise ValueError(
                f"DeepCombination: {type(model).__name__} has no linear or convolutional layer to copy"
            )
        if "" in found:
            self.model = _OneOf(self.model, copies)
        else:
            for name in found:
                self.model.set_submodule(name, _OneOf(self.model.get_submodule(name), copies))

    def forward(self, *inputs: Any) -> Any:
        return self.model(*inputs)

    def draws(self, on: bool = True) -> DeepCombination:
        """Whether evaluation draws combinations, too, in place of the mean."""
        for layer in self._layers().values():
            layer.mean = not on
        return self

    def consistency(
        self, x: Tensor, loss: Callable[[Tensor], Tensor], times: int = 5, weight: float = 1.0
    ) -> Tensor:
        """Adds to the gradients: the mean over draws of loss(logits) + weight · KL(the last draw ‖ this one); returns
        it.

        The reference of each draw is the one before it, without gradient. Call it between ``zero_grad`` and ``step``.
        """
        with torch.no_grad():
            last = self(x).softmax(-1)
        total = x.new_zeros(())
        for _ in range(times):
            logits = self(x)
            away = F.kl_div(logits.log_softmax(-1), last, reduction="batchmean")
            value = (loss(logits) + weight * away) / times
            value.backward()
            last, total = logits.detach().softmax(-1), total + value.detach()
        return total

    @torch.no_grad()
    def average(self) -> nn.Module:
        """A plain copy of the model whose layers are the means of their copies."""
        made = copy.deepcopy(self.model)
        for name, layer in self._layers().items():
            mean = copy.deepcopy(layer.copies[0])
            mean.load_state_dict(averages(layer), strict=False)
            if not name:
                return mean
            made.set_submodule(name, mean)
        return made

    def _layers(self) -> dict[str, _OneOf]:
        return {name: m for name, m in self.model.named_modules() if isinstance(m, _OneOf)}


register("average", "DeepCombination", DeepCombination)
