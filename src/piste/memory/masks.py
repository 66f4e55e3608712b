"""A model of which a few weights are trained: the others are zero, or stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .._noise import normal, stream
from .._registry import register

Scores = dict[str, Tensor]


def weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters of two dimensions and more, by name: what is pruned and frozen as a rule."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad and p.dim() > 1}


def snip(model: nn.Module, loss: Callable[[], Tensor]) -> Scores:
    """How much the loss feels each weight: |∂L/∂w · w|, of one forward and backward pass.

    Reference: "SNIP: Single-shot Network Pruning based on Connection Sensitivity", Namhoon Lee, Thalaiyasingam
    Ajanthan, Philip H. S. Torr, 2019, https://arxiv.org/abs/1810.02340
    """
    found = weights(model)
    slopes = torch.autograd.grad(loss(), list(found.values()), allow_unused=True)
    return {
        name: torch.zeros_like(w) if g is None else (g * w).abs().detach()
        for (name, w), g in zip(found.items(), slopes, strict=True)
    }


def magnitude(model: nn.Module) -> Scores:
    """|w| of each weight."""
    return {name: w.detach().abs() for name, w in weights(model).items()}


def chance(model: nn.Module, seed: int = 0) -> Scores:
    """A number drawn for each weight, the same on every device."""
    return {name: normal(w.detach(), stream(seed, name, 0)) for name, w in weights(model).items()}


def top(scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks of the ``share`` of all weights with the highest scores, compared across the model."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of the weights is above 0 and at most 1, got {share}")
    flat = torch.cat([s.flatten() for s in scores.values()])
    count = max(1, round(share * flat.numel()))
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen[flat.topk(count).indices] = True
    pieces = chosen.split([s.numel() for s in scores.values()])
    return {name: piece.view(s.shape) for (name, s), piece in zip(scores.items(), pieces, strict=True)}


class _Write(torch.autograd.Function):
    """Values written into their places of a weight that is frozen, and the weight's gradient read there."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, entries: Entries) -> Tensor:
        ctx.entries = entries
        ctx.save_for_backward(entries.places)
        entries.write(weight, values)
        return weight.detach()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        if ctx.entries.watching:
            ctx.entries.dense = slopes[0].detach()
        return slopes[0].flatten()[places.long()], None, None


class Entries(nn.Module):
    """A parametrization: a frozen weight with some of its entries alive, as one vector ``values``.

    There is no copy of the weight: values are written into it whenever it is used. The gradient of the whole weight
    lives for as long as it takes to read it there.
    """

    places: Tensor

    def __init__(self, weight: Tensor, mask: Tensor) -> None:
        super().__init__()
        places = mask.flatten().nonzero().squeeze(-1)
        self.register_buffer("places", places if weight.numel() >= 1 << 31 else places.int())
        self.values = nn.Parameter(weight.detach().flatten()[places].clone())
        self.watching, self.dense = False, None

    def forward(self, weight: Tensor) -> Tensor:
        return _Write.apply(self.values, weight, self)  # type: ignore[no-any-return]

    def write(self, weight: Tensor, values: Tensor) -> None:
        """Behind autograd's back: a weight that is used twice in a graph is written twice, with the same numbers."""
        weight.data.view(-1).index_copy_(0, self.places.long(), values.data)

    def choose(self, places: Tensor, values: Tensor) -> None:
        """Other entries, as many as before or not: ``values`` is a new parameter then."""
        if places.shape == self.places.shape:
            self.places.copy_(places)
            self.values.data.copy_(values)
        else:
            self.places, self.values = places.to(self.places.dtype), nn.Parameter(values.clone())


class Reduced:
    """Trains the weights of a model where masks are True; the others are zero (``pruned``), or frozen as they are.

        φ = the d' chosen weights;   w = w₀ + Eφ  (frozen)   or   w = Eφ  (pruned),   E writes φ into its places

    Both are what the survey calls dimensionality reduced training: gradients, and the state of an optimizer of
    :meth:`parameters`, have d' numbers. Which weights: :func:`top` of :func:`snip` (before training), of
    :func:`magnitude` (a lottery ticket, a trained model) or of :func:`chance`. What no mask names is trained as before.
    :meth:`drop_and_grow` moves the places in the course of training (dynamic sparse training).

        reduced = Reduced(model, top(snip(model, lambda: loss(model)), share=0.05), pruned=True)
        optimizer = piste.AdamW(reduced.parameters(), lr=1e-3)

    The model stays in its place, its weights parametrized: their names in its ``state_dict`` become
    ``parametrizations.weight.original`` and ``parametrizations.weight.0.values``; :meth:`merge` brings back plain ones.

    Reference: "Dimensionality Reduced Training by Pruning and Freezing Parts of a Deep Neural Network, a Survey", Paul
    Wimmer, Jens Mehnert, Alexandru Paul Condurache, 2022, https://arxiv.org/abs/2205.08099
    Reference: "Rigging the Lottery: Making All Tickets Winners", Utku Evci, Trevor Gale, Jacob Menick, Pablo Samuel
    Castro, Erich Elsen, 2020, https://arxiv.org/abs/1911.11134
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor], pruned: bool = False) -> None:
        known = dict(model.named_parameters())
        for name, mask in masks.items():
            if name not in known:
                raise ValueError(
                    f"the model has no parameter {name!r} to mask; it has {', '.join(list(known)[:8])}, …"
                )
            if mask.dtype is not torch.bool or mask.shape != known[name].shape:
                raise ValueError(
                    f"the mask of {name!r} is {mask.dtype} of shape {tuple(mask.shape)}: it must be bool and of the "
                    f"weight's shape {tuple(known[name].shape)}"
                )
        if not any(bool(mask.any()) for mask in masks.values()):
            raise ValueError("no weight is chosen by any mask: nothing would be trained")
        self.model, self.pruned, self.entries = model, pruned, dict[str, Entries]()
        self.masked = list(masks)
        for name, mask in masks.items():
            weight, mask = known[name], mask.to(known[name].device)
            weight.requires_grad_(False)
            if pruned:
                weight.data.masked_fill_(~mask, 0.0)
            if bool(mask.any()):
                self.entries[name] = self._choose(name, weight, mask)

    def _choose(self, name: str, weight: nn.Parameter, mask: Tensor) -> Entries:
        owner, _, own = name.rpartition(".")
        made = Entries(weight, mask)
        parametrize.register_parametrization(self.model.get_submodule(owner), own, made)
        return made

    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the chosen entries, and what no mask named."""
        return [p for p in self.model.parameters() if p.requires_grad and p.numel()]

    def weight(self, name: str) -> Tensor:
        """A weight as it is now, its entries written in."""
        owner, _, own = name.rpartition(".")
        return getattr(self.model.get_submodule(owner), own).detach()

    def watch(self) -> None:
        """Keep the gradients of whole weights in the next backward pass, for :meth:`drop_and_grow`."""
        for entries in self.entries.values():
            entries.watching = True

    @torch.no_grad()
    def drop_and_grow(self, share: float, optimizer: Any = None) -> None:
        """In each weight the ``share`` of its entries that are smallest make place for those, zero as yet, of the
        largest gradients. Call it after the backward pass that :meth:`watch` asked for, in place of a step; new entries
        begin at zero, and so does what the optimizer keeps of them.
        """
        if not self.pruned:
            raise ValueError(
                "drop_and_grow is for pruned weights: a frozen one cannot go back to what it was"
            )
        for name, entries in self.entries.items():
            if entries.dense is None:
                raise ValueError(
                    f"no gradient of the whole of {name!r} is there: call watch() before backward"
                )
            self._move(entries, round(share * entries.places.numel()), self.weight(name), optimizer)
            entries.watching, entries.dense = False, None

    def _move(self, entries: Entries, count: int, weight: Tensor, optimizer: Any) -> None:
        gone = entries.values.abs().topk(count, largest=False).indices
        places, values = entries.places.long().clone(), entries.values.detach().clone()
        free = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
        free[places] = False
        free[places[gone]] = True
        weight.view(-1)[places[gone]] = 0.0
        worth = torch.where(free, entries.dense.flatten().abs(), -1.0)  # type: ignore[union-attr]
        places[gone], values[gone] = worth.topk(count).indices, 0.0
        entries.choose(places, values)
        for kept in (optimizer.state.get(entries.values, {}) if optimizer is not None else {}).values():
            if isinstance(kept, Tensor) and kept.shape == entries.values.shape:
                kept[gone] = 0.0

    def merge(self) -> nn.Module:
        """The model with plain weights again, all of them trainable."""
        for name in self.entries:
            owner, _, own = name.rpartition(".")
            layer = self.model.get_submodule(owner)
            value = getattr(layer, own).detach().clone()
            layer.parametrizations[own].original.requires_grad_(True)  # type: ignore[index, union-attr]
            parametrize.remove_parametrizations(layer, own, leave_parametrized=False)
            with torch.no_grad():
                getattr(layer, own).copy_(value)
        for name in self.masked:
            self.model.get_parameter(name).requires_grad_(True)
        self.entries.clear()
        return self.model


register("memory", "Reduced", Reduced)
register("memory", "snip", snip)
