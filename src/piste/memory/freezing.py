"""A few weights trained, the others as a seed made them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register
from .masks import Reduced, snip, top, weights


def built(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The module as ``build()`` makes it under this seed, on the CPU; torch's generator is put back."""
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"FreezeNet: the seed is a number of 32 bits, got {seed}")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        return build()


class FreezeNet:
    """Trains the weights the loss feels most at initialization, and freezes the others there: a seed stands for them.

        s = |∂L/∂w · w|  at w₀(seed), one pass;   trained: the ``share`` of largest s;   the others stay w₀

    A saved network is the seed, the trained values and their places. Unlike pruned weights the frozen ones carry
    signals and gradients, which is worth most where few are trained (the authors: 0.1 to 10 %).

        net = FreezeNet(build, lambda model: loss(model(x), y), share=0.01, seed=7)
        optimizer = piste.SGD(net.parameters(), lr=0.1, momentum=0.9)
        …
        torch.save(net.saved(), path);   again = FreezeNet.restored(build, torch.load(path))

    ``build`` makes the module from torch's generator alone, on the CPU. Weights of two and more dimensions are chosen
    from; biases and normalizations are trained and saved whole. That the score is SNIP's is from secondary texts; no
    code of the authors was found. The seed's numbers are those of one version of torch: another may draw others, and
    then the restored network is refused (a sum of the frozen weights is saved beside them).

    Reference: "FreezeNet: Full Performance by Reduced Storage Costs", Paul Wimmer, Jens Mehnert, Alexandru Condurache,
    2020, https://arxiv.org/abs/2011.14087
    """

    def __init__(
        self, build: Callable[[], nn.Module], loss: Callable[[nn.Module], Tensor], share: float, seed: int = 0
    ) -> None:
        self.seed, self.model = seed, built(build, seed)
        self._begin = _sum(self.model)
        scores = snip(self.model, lambda: loss(self.model))
        if not scores:
            raise ValueError(
                f"FreezeNet: {type(self.model).__name__} has no weight of two dimensions or more"
            )
        self.reduced = Reduced(self.model, top(scores, share))

    def parameters(self) -> list[nn.Parameter]:
        return self.reduced.parameters()

    def saved(self) -> dict[str, Any]:
        """Seed, places, values and what is not frozen: all that :meth:`restored` needs. Tensors and numbers only."""
        frozen = {f"{_parametrized(name)}.original" for name in self.reduced.entries} | set(
            self.reduced.masked
        )
        rest = {k: v.detach().clone() for k, v in self.model.state_dict().items() if k not in frozen}
        return {"seed": self.seed, "begin": self._begin, "state": rest}

    @classmethod
    def restored(cls, build: Callable[[], nn.Module], saved: Mapping[str, Any]) -> FreezeNet:
        """The network as it was saved. Errors (ValueError): ``build`` makes other weights of this seed."""
        net = cls.__new__(cls)
        net.seed, net.model = int(saved["seed"]), built(build, int(saved["seed"]))
        net._begin = _sum(net.model)
        if not math.isclose(net._begin, saved["begin"], rel_tol=1e-6):  # machines add up in other orders
            raise ValueError(
                "FreezeNet: build() makes other weights of the saved seed: it is another module, takes random numbers "
                "from elsewhere, or torch draws others now"
            )
        state, masks = saved["state"], dict[str, Tensor]()
        for name, weight in weights(net.model).items():
            masks[name] = torch.zeros(weight.shape, dtype=torch.bool)
            places = state.get(f"{_parametrized(name)}.0.places", torch.empty(0))
            masks[name].view(-1)[places.long().cpu()] = True
        net.reduced = Reduced(net.model, masks)
        net.model.load_state_dict(state, strict=False)
        return net


def _parametrized(name: str) -> str:
    owner, _, own = name.rpartition(".")
    return f"{owner}.parametrizations.{own}" if owner else f"parametrizations.{own}"


def _sum(model: nn.Module) -> float:
    return float(sum(p.detach().double().abs().sum() for p in model.parameters()))


register("memory", "FreezeNet", FreezeNet)
