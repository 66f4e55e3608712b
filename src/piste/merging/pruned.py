"""Pruning in cycles, each of which trains copies and goes on from their mean."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register
from .running import merge

Retrain = Callable[[nn.Module, int, int], Any]  # the model to train in place, which cycle, which copy
Masks = dict[str, Tensor]


def prunable(model: nn.Module) -> list[str]:
    """The weights of two axes and more."""
    return [n for n, p in model.named_parameters() if p.ndim > 1]


def magnitude_masks(weights: Mapping[str, Tensor], masks: Masks, share: float) -> Masks:
    """Of the entries that the masks leave, all but the ``share`` of least magnitude over all tensors together."""
    left = torch.cat([weights[n].detach().abs()[m] for n, m in masks.items()])
    k = int(share * left.numel())
    if not k:
        return dict(masks)
    least = left.kthvalue(k).values
    return {n: m & (weights[n].detach().abs() > least) for n, m in masks.items()}


def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Zeros where the masks are. Call it after each step of a retraining, too, or the zeros grow back."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in masks:
                p.mul_(masks[name])


def _trained(model: nn.Module, masks: Masks, retrain: Retrain, cycle: int, copies: int) -> dict[str, Tensor]:
    """The mean of copies that were trained from here, each masked."""
    found = []
    for i in range(copies):
        one = copy.deepcopy(model)
        retrain(one, cycle, i)
        apply_masks(one, masks)
        found.append(one.state_dict())
    return merge("soup", found)


def sparse_soup(
    model: nn.Module, retrain: Retrain, sparsity: float, cycles: int = 3, copies: int = 3
) -> Masks:
    """Prune, retrain several copies, go on from their mean: all share the mask, so that the mean is as sparse.

    In each cycle the same share of what is left goes, by magnitude over all weights, so that ``sparsity`` of them are
    zero in the end. ``retrain(model, cycle, copy)`` trains in place, each copy with another seed, weight decay or
    length; it keeps zeros with :func:`apply_masks`, or they are set again when it returns. Recompute BatchNorm's
    statistics afterwards. The model is changed in place; its masks are returned.

    Reference: "Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging", Max Zimmer, Christoph Spiegel,
    Sebastian Pokutta, 2023, https://arxiv.org/abs/2306.16788
    """
    _sound(sparsity, cycles, copies)
    masks: Masks = {n: torch.ones_like(model.get_parameter(n), dtype=torch.bool) for n in prunable(model)}
    share = 1 - (1 - sparsity) ** (1 / cycles)
    for cycle in range(cycles):
        masks = magnitude_masks(dict(model.named_parameters()), masks, share)
        apply_masks(model, masks)
        model.load_state_dict(_trained(model, masks, retrain, cycle, copies))
        apply_masks(model, masks)
    return masks


def swamp(model: nn.Module, train: Retrain, sparsity: float, cycles: int = 3, particles: int = 4) -> Masks:
    """Iterative magnitude pruning whose masks come from the mean of several runs, each from the same ticket.

        w ← mean over particles of train(m ∘ w₀);   m ← all but the least of |w|;   back to w₀

    ``model`` comes in at w₀, the weights of a ticket after little training; ``train(model, cycle, particle)`` trains a
    particle in place from m ∘ w₀ with its own order of batches and leaves it at the average of its last part (SWA). The
    model is left at the mean of the last cycle's particles, trained at the full ``sparsity``.

    Reference: "SWAMP: Sparse Weight Averaging with Multiple Particles for Iterative Magnitude Pruning", Moonseok Choi,
    Hyungi Lee, Giung Nam, Juho Lee, 2023, https://arxiv.org/abs/2305.14852
    """
    _sound(sparsity, cycles, particles)
    ticket = copy.deepcopy(model.state_dict())
    masks: Masks = {n: torch.ones_like(model.get_parameter(n), dtype=torch.bool) for n in prunable(model)}
    share = 1 - (1 - sparsity) ** (1 / cycles)
    for cycle in range(cycles + 1):
        model.load_state_dict(ticket)
        apply_masks(model, masks)
        mean = _trained(model, masks, train, cycle, particles)
        model.load_state_dict(mean)
        if cycle < cycles:
            masks = magnitude_masks(mean, masks, share)
    return masks


def _sound(sparsity: float, cycles: int, copies: int) -> None:
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity is the share of zeros, over 0 and under 1; got {sparsity!r}")
    if cycles < 1 or copies < 1:
        raise ValueError(f"there must be at least one cycle and one copy; got {cycles} and {copies}")


register("merge", "sparse_soup", sparse_soup)
register("merge", "swamp", swamp)
