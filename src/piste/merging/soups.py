"""Which models go into the soup, and how sure each is of its numbers: what needs a look at data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from .._registry import register
from .running import merge
from .sources import source

Score = Callable[[dict[str, Tensor]], float]


class Soup(NamedTuple):
    """A soup, what went in (by index, in the order of tasting), its score, and each model's own."""

    tensors: dict[str, Tensor]
    chosen: list[int]
    score: float
    alone: list[float]


def greedy_soup(models: Sequence[Any], score: Score) -> Soup:
    """The best model, then each next best one if the mean with it scores higher on held-out data.

    ``models``: paths, modules or state dicts; ``score`` is given a state dict, more is better. Never worse than the
    best model on the data that it is scored on. A model is kept only where it raises the score (the authors' code),
    never for an equal one.

    Errors: ValueError where a score is not a finite number, or where there are no models.

    Reference: "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
    inference time", Mitchell Wortsman, Gabriel Ilharco, Samir Yitzhak Gadre, Rebecca Roelofs, Raphael Gontijo-Lopes,
    Ari S. Morcos, Hongseok Namkoong, Ali Farhadi, Yair Carmon, Simon Kornblith, Ludwig Schmidt, 2022,
    https://arxiv.org/abs/2203.05482, recipe 1
    """

    def scored(indices: Sequence[int]) -> tuple[dict[str, Tensor], float]:
        mean = merge("soup", [models[i] for i in indices])
        value = float(score(mean))
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"the score of models {list(indices)} is {value}: it must be finite")
        return mean, value

    if not models:
        raise ValueError("greedy_soup: there are no models to choose from")
    alone = [scored([i])[1] for i in range(len(models))]
    order = sorted(range(len(models)), key=lambda i: -alone[i])
    chosen, best = order[:1], alone[order[0]]
    mean = merge("soup", [models[order[0]]])
    for i in order[1:]:
        candidate, value = scored([*chosen, i])
        if value > best:
            mean, best, chosen = candidate, value, [*chosen, i]
    return Soup(mean, chosen, best, alone)


def fisher_diagonal(
    model: nn.Module, batches: Iterable[Any], chunk_size: int | None = None
) -> dict[str, Tensor]:
    """F = mean over x of E_(y ~ p(y|x)) (∇ log p(y|x))², the diagonal of a classifier's Fisher matrix, by parameter.

    The expectation over labels is taken exactly, each example's gradient for itself; the model is in evaluation mode
    meanwhile. ``batches``: inputs, or tuples that begin with them; ``chunk_size`` bounds how many examples' gradients
    are held at once. The model maps [batch, …] to logits [batch, classes].

    Reference: "Merging Models with Fisher-Weighted Averaging", Michael S. Matena, Colin Raffel, 2021,
    https://arxiv.org/abs/2111.09832
    """
    params = {n: p.detach() for n, p in model.named_parameters()}
    buffers = dict(model.named_buffers())
    found = {n: torch.zeros_like(p) for n, p in params.items()}

    def logits(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, (params, buffers), (x.unsqueeze(0),))[0]

    def weighted(params: dict[str, Tensor], x: Tensor, y: int) -> tuple[Tensor, Tensor]:
        log = logits(params, x).log_softmax(-1)
        return log[y], log[y].exp()

    training, seen = model.training, 0
    model.eval()
    try:
        for batch in batches:
            x = batch[0] if isinstance(batch, (tuple, list)) else batch
            for y in range(logits(params, x[0]).shape[-1]):
                one = grad(weighted, has_aux=True)
                g, p = vmap(one, (None, 0, None), chunk_size=chunk_size)(params, x, y)
                for name, value in g.items():
                    found[name] += (p.view(-1, *[1] * (value.ndim - 1)) * value**2).sum(0)
            seen += len(x)
    finally:
        model.train(training)
    if not seen:
        raise ValueError("fisher_diagonal: there are no batches to see")
    return {n: f / seen for n, f in found.items()}


def loaded(model: nn.Module, given: Any) -> nn.Module:
    """The model with these weights, for a score."""
    found = source(given, "the weights")
    model.load_state_dict({n: found.read(n) for n in found.rows})
    return model


register("merge", "greedy_soup", greedy_soup)
register("merge", "fisher_diagonal", fisher_diagonal)
