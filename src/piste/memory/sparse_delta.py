"""Fine-tuning the smallest weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register
from .masks import Reduced, magnitude, top


class SaRA:
    """Fine-tunes the weights of a trained model that are smallest, and keeps what they become of low rank.

        M = the ``share`` of the weights with the smallest |w|, θ the largest of them
        min over w_M of  loss + λ Σ ‖w ∘ M‖_*          (:meth:`nuclear_norm`, which you add)
        half way:  M ← those of M that are still below θ      (:meth:`reselect`)

    Weights near zero do little for what a model can do already, and are free to learn what it cannot; the nuclear norm
    keeps them from overfitting. An optimizer of :meth:`parameters` keeps state for them only, and gradients are those
    of the chosen entries. For fine-tuning large generative models.

        sara = SaRA(model, share=0.1)
        optimizer = piste.AdamW(sara.parameters(), lr=5e-4)
        loss = task(model(x)) + 5e-4 * sara.nuclear_norm()
        …
        optimizer = piste.AdamW(sara.reselect(), lr=5e-4)     # once, half way

    The authors give a threshold θ (2e-3 for Stable Diffusion) and λ = 5e-4, re-select at half of the steps with a new
    optimizer, and put the rate at 1e-3 exp(-350 θ). As in their code (sjtuplayer/SaRA at ea21192) the norm is that of
    the chosen weights themselves, not of their change, on matrices whose sides are above 64 (``least_side``). Theirs
    takes one matrix at random in each step; name one to do so.

    Reference: "SaRA: High-Efficient Diffusion Model Fine-tuning with Progressive Sparse Low-Rank Adaptation", Teng Hu,
    Jiangning Zhang, Ran Yi, Hongrui Huang, Yabiao Wang, Lizhuang Ma, 2024, https://arxiv.org/abs/2409.06633
    """

    def __init__(
        self, model: nn.Module, share: float = 0.1, threshold: float | None = None, least_side: int = 64
    ) -> None:
        sizes = magnitude(model)
        if not sizes:
            raise ValueError(
                f"SaRA: {type(model).__name__} has no trainable weight of two dimensions or more"
            )
        if threshold is None:
            masks = top({name: -size for name, size in sizes.items()}, share)
            threshold = max(float(sizes[n][m].max()) for n, m in masks.items() if bool(m.any()))
            # of the entries that are as large as the largest chosen one, all or none is no matter
            self.threshold = threshold * (1 + 1e-6)
        else:
            self.threshold = threshold
            masks = {name: size < threshold for name, size in sizes.items()}
        for p in model.parameters():
            p.requires_grad_(False)
        self.least_side, self.reduced = least_side, Reduced(model, masks)

    def parameters(self) -> list[nn.Parameter]:
        return [e.values for e in self.reduced.entries.values() if e.values.numel()]

    def matrix(self, name: str) -> Tensor:
        """The chosen entries of a weight, and zeros (with gradients)."""
        entries = self.reduced.entries[name]
        like = self.reduced.weight(name)
        flat = torch.zeros(like.numel(), dtype=like.dtype, device=like.device)
        return flat.index_put((entries.places.long(),), entries.values).view_as(like)

    def nuclear_norm(self, name: str | None = None) -> Tensor:
        """The sum of the singular values of :meth:`matrix`, of that weight or of all matrices that are large enough."""
        if name is not None:
            return torch.linalg.matrix_norm(self.matrix(name), "nuc")
        names = [
            n for n in self.reduced.entries
            if self.reduced.weight(n).dim() == 2 and min(self.reduced.weight(n).shape) > self.least_side
        ]  # fmt: skip
        if not names:
            raise ValueError(
                f"SaRA: no matrix has both sides above {self.least_side}: give a smaller least_side"
            )
        return torch.stack([self.nuclear_norm(n) for n in names]).sum()

    @torch.no_grad()
    def reselect(self) -> list[nn.Parameter]:
        """Leave the entries that have grown above the threshold as they are, from now on. Returns what is still
        trained, for a new optimizer."""
        for name, entries in self.reduced.entries.items():
            self.reduced.weight(name)  # written in before some are forgotten
            small = entries.values.abs() < self.threshold
            entries.choose(entries.places[small], entries.values.detach()[small])
        return self.parameters()

    def sparse_state(self) -> dict[str, Any]:
        """What differs from the model it began with: places and values, by weight. Save it before :meth:`reselect`
        makes the selection smaller, or the whole model after."""
        return {
            name: {"places": e.places.clone(), "values": e.values.detach().clone()}
            for name, e in self.reduced.entries.items()
        }

    @torch.no_grad()
    def load_sparse_state(self, state: dict[str, Any]) -> None:
        """Of a SaRA of the same model; make the optimizer behind it. Errors (ValueError): other weights, or places that
        are none."""
        if set(state) != set(self.reduced.entries):
            raise ValueError(
                f"SaRA: the state is of other weights: {sorted(set(state) ^ set(self.reduced.entries))[:4]}"
            )
        for name, entries in self.reduced.entries.items():
            places, values = state[name]["places"], state[name]["values"]
            if places.numel() and int(places.max()) >= self.reduced.weight(name).numel():
                raise ValueError(f"SaRA: {name!r} has fewer weights than its saved places say")
            entries.choose(places.to(entries.places.device), values.to(entries.values))

    def merge(self) -> nn.Module:
        """The model with plain weights."""
        return self.reduced.merge()


register("memory", "SaRA", SaRA)
