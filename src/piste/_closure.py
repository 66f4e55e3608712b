"""A closure for methods that evaluate the loss themselves: accumulation, autocast, loss scaling and all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class Closure:
    """What :func:`closure` makes: call it for the loss; the gradients are then in ``p.grad``.

    ``found_inf``: whether a scaled gradient overflowed. ``guarded``: a scaler is at work, so the optimizer leaves out
    a step whose gradients are not finite, as ``GradScaler.step`` would. ``scale``: what the last
    loss was multiplied by.
    """

    def __init__(
        self, forward: Callable[[Any], Tensor], batches: Sequence[Any], shares: Sequence[float], module: nn.Module,
        scaler: Any, autocast: torch.dtype | None, freeze_norms: bool,
        drawn: Callable[[Any], Tensor] | None = None, residual: Callable[[Any], Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.forward, self.batches, self.shares, self.module = forward, batches, shares, module
        self.scaler, self.autocast, self.freeze_norms = scaler, autocast, freeze_norms
        self.guarded = scaler is not None and scaler.is_enabled()
        self.drawn, self.residual, self.scale = drawn, residual, 1.0
        self.found_inf = False
        self.evaluations = 0

    def __call__(self) -> Tensor:
        return self._evaluate(self.forward)

    def sampled(self) -> Tensor:
        """As a call, of the loss whose labels are drawn from the model. Errors: TypeError where none was given."""
        if self.drawn is None:
            raise TypeError(
                "this method wants the loss at labels drawn from the model: pass "
                "piste.closure(forward, batches, model, sampled=lambda batch: loss with drawn labels)"
            )
        return self._evaluate(self.drawn)

    def _evaluate(self, forward: Callable[[Any], Tensor]) -> Tensor:
        again = self.evaluations > 0
        self.evaluations += 1
        self.module.zero_grad()
        self.scale = self.scaler.get_scale() if self.guarded else 1.0
        with _frozen_norms(self.module) if again and self.freeze_norms else nullcontext():
            loss = self._accumulate(forward)
        if self.guarded:
            self._unscale(self.scale, again)
        return loss

    def hvp(self, params: Sequence[Tensor], vectors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The Hessian's product with a vector (None: zero), by differentiating the forward pass twice."""
        device = next(self.module.parameters()).device.type
        sums: list[Tensor | None] = [None] * len(params)
        live = [i for i, p in enumerate(params) if p.requires_grad]
        weights = [params[i] for i in live]
        with _frozen_norms(self.module) if self.freeze_norms else nullcontext():
            for batch, share in zip(self.batches, self.shares, strict=True):
                with torch.autocast(device, self.autocast) if self.autocast is not None else nullcontext():
                    loss = share * self.forward(batch)
                slopes = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
                along = [
                    (g * v).sum()
                    for g, v in zip(slopes, (vectors[i] for i in live), strict=True)
                    if g is not None and v is not None
                ]
                if not along or not any(a.requires_grad for a in along):
                    continue  # the loss is linear in what moves
                products = torch.autograd.grad(torch.stack(along).sum(), weights, allow_unused=True)
                for i, product in zip(live, products, strict=True):
                    if product is not None:
                        so_far = sums[i]
                        sums[i] = product if so_far is None else so_far + product
        return [
            torch.zeros_like(p) if s is None and p.requires_grad else s
            for p, s in zip(params, sums, strict=True)
        ]

    def gauss_newton(self, params: Sequence[Tensor], vectors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """JᵀJ times a vector (None: zero), J the residuals' Jacobian: J v is the slope of Jᵀu in u, along v."""
        assert self.residual is not None
        device = next(self.module.parameters()).device.type
        live = [i for i, p in enumerate(params) if p.requires_grad]
        weights = [params[i] for i in live]
        sums = {i: torch.zeros_like(params[i]) for i in live}
        with _frozen_norms(self.module) if self.freeze_norms else nullcontext():
            for batch in self.batches:
                with torch.autocast(device, self.autocast) if self.autocast is not None else nullcontext():
                    r = self.residual(batch)
                u = torch.zeros_like(r, requires_grad=True)
                back = torch.autograd.grad(r, weights, u, create_graph=True, allow_unused=True)
                along = [
                    (g * v).sum()
                    for g, v in zip(back, (vectors[i] for i in live), strict=True)
                    if g is not None and v is not None
                ]
                if not along:
                    continue
                (jv,) = torch.autograd.grad(torch.stack(along).sum(), u, retain_graph=True)
                for i, found in zip(
                    live, torch.autograd.grad(r, weights, jv, allow_unused=True), strict=True
                ):
                    if found is not None:
                        sums[i] = sums[i] + found
        return [sums.get(i) for i in range(len(params))]

    def _accumulate(self, forward: Callable[[Any], Tensor]) -> Tensor:
        """Σ share · loss over the micro-batches, gradients with it; only the last one talks to other processes."""
        device = next(self.module.parameters()).device.type
        total: Any = 0.0
        for i, (batch, share) in enumerate(zip(self.batches, self.shares, strict=True)):
            last = i == len(self.batches) - 1
            with nullcontext() if last else _no_sync(self.module):
                with torch.autocast(device, self.autocast) if self.autocast is not None else nullcontext():
                    loss = share * forward(batch)
                (loss if not self.guarded else self.scaler.scale(loss)).backward()
            total = total + loss.detach()
        return total

    def _unscale(self, scale: float, again: bool) -> None:
        """Divide the gradients by the scale. One step moves the scale once: the first evaluation lets the scaler grow
        or back off, a later one can only back off, and only if none has yet."""
        grads = [p.grad for p in self.module.parameters() if p.grad is not None]
        if not again:
            # the scaler wants an optimizer and remembers having seen it: this one is gone with the next line
            self.scaler.unscale_(SimpleNamespace(param_groups=[{"params": list(self.module.parameters())}]))
            self.scaler.update()
            self.found_inf = self.scaler.get_scale() < scale
            return
        torch._foreach_mul_(grads, 1.0 / scale)
        if not self.found_inf and not all(bool(g.isfinite().all()) for g in grads):
            self.found_inf = True
            self.scaler.update(scale * self.scaler.get_backoff_factor())


def closure(
    forward: Callable[[Any], Tensor],
    batches: Iterable[Any],
    module: nn.Module | None = None,
    *,
    scaler: Any = None,
    autocast: torch.dtype | None = None,
    sizes: Iterable[float] | None = None,
    freeze_norms: bool = True,
    sampled: Callable[[Any], Tensor] | None = None,
    residuals: bool = False,
) -> Closure:
    """The closure of one training step, for ``opt.step(...)``: loss and gradient of

        L(w) = Σᵢ nᵢ forward(batchᵢ) / Σᵢ nᵢ

    over the micro-batches of the step; every call evaluates the same L at today's weights, so oracles (SAM) and
    searches (LBFGS, Armijo) may call it as often as they like. Make a new one for every step::

        opt.step(piste.closure(lambda batch: loss_fn(model(batch.x), batch.y), micro_batches, model))

    - ``forward``: a micro-batch to its mean loss.
    - ``module``: whose gradients are reset, unscaled and, under DDP, synchronised with the last micro-batch only (may
      be left out where ``forward`` is a module).
    - ``sizes``: nᵢ, where the micro-batches differ in size.
    - ``autocast``: a dtype to run ``forward`` in.
    - ``scaler``: a ``torch.amp.GradScaler``, whose own ``step`` refuses closures. Here the loss is scaled, the
      gradients are unscaled, the scale is updated once per step, and a step that overflowed is left out and counted
      (``opt.skipped_steps``).
    - ``freeze_norms``: only the first evaluation of a step moves BatchNorm's running statistics.
    - ``sampled``: a micro-batch to its mean loss at labels *drawn from the model*, for methods that want the Fisher
      matrix and not its empirical stand-in; of a classifier::

        def drawn(batch):
            logits = model(batch.x)
            labels = torch.distributions.Categorical(logits=logits.detach()).sample()
            return cross_entropy(logits, labels)

    - ``residuals``: ``forward`` gives a micro-batch's vector of residuals r, and the loss is L = ½ Σ ‖r‖², summed and
      not averaged: for methods that want the equations r = 0 themselves (Levenberg-Marquardt).

    Errors: ValueError without a batch; TypeError without a module.
    """
    if module is None:
        if not isinstance(forward, nn.Module):
            raise TypeError(
                "closure needs the module whose gradients it resets: closure(forward, batches, model)"
            )
        module = forward
    batches = list(batches)
    if not batches:
        raise ValueError("closure got no batches: an empty list, or a generator that was already consumed")
    counts = [1.0] * len(batches) if sizes is None else [float(n) for n in sizes]
    if len(counts) != len(batches) or min(counts) < 0 or not sum(counts) > 0:
        raise ValueError(
            f"closure got {len(batches)} batches and the sizes {counts}: one size above 0 for each"
        )
    if residuals and sizes is not None:
        raise ValueError(
            "closure got sizes with residuals=True: the residuals of all batches are summed, leave sizes out"
        )
    shares = [1.0 if residuals else n / sum(counts) for n in counts]
    residual = forward if residuals else None
    loss = (lambda batch: forward(batch).square().sum() / 2) if residuals else forward
    return Closure(loss, batches, shares, module, scaler, autocast, freeze_norms, sampled, residual)


def _no_sync(module: nn.Module) -> AbstractContextManager[Any]:
    return module.no_sync() if hasattr(module, "no_sync") else nullcontext()  # type: ignore[operator]


@contextmanager
def _frozen_norms(module: nn.Module) -> Iterator[None]:
    """Norms in training mode normalize by the batch as before, and remember nothing of it."""
    kind = torch.nn.modules.batchnorm._NormBase
    norms = [m for m in module.modules() if isinstance(m, kind) and m.training and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
