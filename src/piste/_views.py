"""Which weights you look at: the raw ones, or an average of the path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._chain import Chain, Part

if TYPE_CHECKING:
    from ._leaf import Leaf
    from ._optimizer import Optimizer


def view_part(chain: Chain, name: str | None) -> Part | None:
    """The part whose view is meant: the only one, or the one called ``name``."""
    parts = [p for p in chain.parts if p.transform.view_fn is not None]
    if name is not None:
        parts = [p for p in parts if p.transform.name == name]
    if len(parts) > 1:
        names = ", ".join(repr(p.transform.name) for p in parts)
        raise ValueError(f"the chain keeps several averages: say which, view= one of {names}")
    return parts[0] if parts else None


def seen(part: Part, leaf: Leaf) -> Tensor:
    """The weights the view shows of one parameter."""
    t = part.transform
    assert t.view_fn is not None
    env: dict[str, Any] = {"param": leaf.weights()}
    env.update({n: v(leaf.state["step"]) if callable(v) else v for n, v in part.hyper.items()})
    env.update({n: leaf.read(n) for n in t.slots})
    return t.view_fn(**{a: env[a] for a in t.view_asks})


@contextmanager
def swapped(pairs: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Give weights these values, and their own back exactly on leaving, also after an error."""
    saved = [p.detach().clone() for p, _ in pairs]
    try:
        for p, value in pairs:
            (torch.view_as_real(p.data) if p.is_complex() and not value.is_complex() else p.data).copy_(value)
        yield
    finally:
        for (p, _), value in zip(pairs, saved, strict=True):
            p.data.copy_(value)


@contextmanager
def averaged(
    optimizer: Optimizer, model: nn.Module | None = None, view: str | None = None,
    batches: Iterable[Any] | None = None,
) -> Iterator[None]:  # fmt: skip
    """Swap the averaged weights in, and the raw ones back exactly on leaving, also after an error.

    ``batches``: run through ``model`` in training mode first, to re-estimate the running statistics of its BatchNorm
    layers for the averaged weights; these are restored as well. Groups that keep no average keep their weights.
    Parameters that have not stepped yet are shown as they are.
    """
    if batches is not None and model is None:
        raise ValueError("batches re-estimate the model's BatchNorm statistics: pass the model too")
    pairs: list[tuple[Tensor, Tensor]] = []
    found = False
    for chain, leaves in zip(optimizer.chains(), optimizer.leaves(), strict=True):
        part = view_part(chain, view)
        found = found or part is not None
        for leaf in leaves if part is not None else []:
            if leaf.state["step"] >= 1:
                pairs.append((leaf.shown, seen(part, leaf)))  # type: ignore[arg-type]
    if view is not None and not found:
        raise ValueError(f"no chain of {optimizer.factory.name} has a view of {view!r}")
    norms = _batch_norms(model) if batches is not None else []
    kept = [{k: v.clone() for k, v in n.named_buffers(recurse=False)} for n in norms]
    try:
        with swapped(pairs):
            if batches is not None and norms:
                _refresh(model, norms, batches)  # type: ignore[arg-type]
            yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, value in buffers.items():
                getattr(norm, name).copy_(value)


def _batch_norms(model: nn.Module | None) -> list[nn.Module]:
    kind = torch.nn.modules.batchnorm._BatchNorm
    return (
        [m for m in model.modules() if isinstance(m, kind) and m.track_running_stats]
        if model is not None
        else []
    )


def _refresh(model: nn.Module, norms: list[nn.Module], batches: Iterable[Any]) -> None:
    """A plain mean over the batches, as torch's ``update_bn``."""
    training, momenta = model.training, [n.momentum for n in norms]
    try:
        for n in norms:
            n.reset_running_stats()  # type: ignore[operator]
            n.momentum = None  # type: ignore[assignment]
        model.train()
        with torch.no_grad():
            for batch in batches:
                model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    finally:
        model.train(training)
        for n, momentum in zip(norms, momenta, strict=True):
            n.momentum = momentum
