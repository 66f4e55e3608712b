"""What a training step holds in memory, counted in bytes rather than forecast."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register


@dataclass(frozen=True)
class Bytes:
    """Of one training step: ``weights`` and ``buffers`` of the model, the optimizer's ``state``, the most bytes of
    ``gradients`` at one time, what forward has ``saved`` for backward beside weights, and the device's own ``peak``
    (None where it keeps no count: on the CPU)."""

    weights: int
    buffers: int
    state: int
    gradients: int
    saved: int
    peak: int | None = None

    @property
    def total(self) -> int:
        """All that is held, its parts' maxima added: backward frees what is saved as gradients come."""
        return self.weights + self.buffers + self.state + self.gradients + self.saved


def measure(model: nn.Module, optimizer: Any, loss: Callable[[], Tensor]) -> Bytes:
    """Count the bytes of one forward and backward pass and of what the optimizer keeps.

    ``loss()`` computes the loss of a batch. Storages are counted once, whatever views of them are saved: an activation
    that two operations need is one. A checkpointed region counts what it keeps, not what it computes anew. No step is
    taken (but under :func:`piste.release_gradients`, whose steps are in backward): torch's own optimizers have no state
    before their first, so take one before. Gradients are freed at the end.
    """
    params = list(model.parameters())
    on_gpu = params[0].device.type == "cuda" if params else False
    for p in params:
        p.grad = None
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(params[0].device)
    kept, held = _Storages(), _Gradients(params)
    own = _Storages([*params, *model.buffers(), *_tensors(getattr(optimizer, "state", {}))])
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda t: t):
        made = loss()
    saved = kept.bytes_beside(own)
    kept.forget()
    with held:
        made.backward()
    peak = torch.cuda.max_memory_allocated(params[0].device) if on_gpu else None
    for p in params:
        p.grad = None
    weights, buffers = _Storages(params), _Storages(model.buffers())
    return Bytes(
        weights.bytes(), buffers.bytes_beside(weights), state_bytes(optimizer), held.most, saved, peak
    )


def state_bytes(optimizer: Any) -> int:
    """Bytes that an optimizer keeps beside the weights: its own count, or its tensors', each storage once."""
    own = getattr(optimizer, "state_bytes", None)
    return int(own()) if own else _Storages(_tensors(optimizer.state)).bytes()


def _tensors(value: Any) -> Iterable[Tensor]:
    """All tensors inside containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif hasattr(value, "values"):
        for part in value.values():
            yield from _tensors(part)


class _Storages:
    """Distinct storages, held so that none is freed and its address used again."""

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        self._found: dict[int, torch.UntypedStorage] = {}
        for t in tensors:
            self.add(t)

    def add(self, t: Tensor) -> Tensor:
        storage = t.detach().untyped_storage()
        self._found[storage._cdata] = storage
        return t

    def bytes(self) -> int:
        return sum(s.nbytes() for s in self._found.values())

    def bytes_beside(self, other: _Storages) -> int:
        return sum(s.nbytes() for key, s in self._found.items() if key not in other._found)

    def forget(self) -> None:
        self._found.clear()


class _Gradients:
    """The most bytes of gradients that parameters hold at one time inside the block."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.params, self.most, self._handles = params, 0, []

    def __enter__(self) -> None:
        for p in self.params:
            if p.requires_grad:
                self._handles.append(p.register_hook(self._arrived))

    def __exit__(self, *_: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._arrived(None)

    def _arrived(self, grad: Tensor | None) -> None:
        new = 0 if grad is None else grad.numel() * grad.element_size()
        held = sum(p.grad.numel() * p.grad.element_size() for p in self.params if p.grad is not None)
        self.most = max(self.most, held + new)


register("memory", "measure", measure)
