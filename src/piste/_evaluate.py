"""Loss and gradients somewhere else: the one primitive of SAM, line searches, zeroth order and Hessian products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from . import _sharding as sharding


class Evaluate:
    """``evaluate(point) -> (loss, grads)``: the user's closure at other weights.

    The weights are restored from a copy ((w + e) - e differs from w in several per cent of entries), ``p.grad`` is left
    as found, and every evaluation of one step sees the same random numbers (dropout masks), those of the first.
    ``grads[i]`` is None where the loss does not depend on parameter i. Where parameters are sharded the loss is the
    mean over their mesh, so that all ranks decide alike.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        closure: Callable[[], Any],
        places: Sequence[Any] = (),
        senses: Any = None,
    ) -> None:
        self.params, self.closure, self.places, self.senses = list(params), closure, places, senses
        self.count = 0
        self._start: Any = None
        self._after: Any = None

    def __call__(self, point: Sequence[Tensor] | None = None) -> tuple[Any, list[Tensor | None]]:
        return self._run(self.closure, point)

    def sampled(self) -> tuple[Any, list[Tensor | None]]:
        """Loss and gradients at labels drawn from the model, as ``piste.closure(..., sampled=...)`` shows how to.

        Within a step the same labels every time; the next step draws others, as the random state is left behind them.
        """
        draw = getattr(self.closure, "sampled", None)
        if draw is None:
            raise TypeError(
                "this method wants the loss at labels drawn from the model, which a plain closure does not show: pass "
                "piste.closure(forward, batches, model, sampled=lambda batch: loss with drawn labels)"
            )
        found = self._run(draw, None)
        self._after = _random_state(self.params)
        return found

    def _run(
        self, closure: Callable[[], Any], point: Sequence[Tensor] | None
    ) -> tuple[Any, list[Tensor | None]]:
        if self._start is None:
            self._start = _random_state(self.params)
        else:
            _set_random_state(self._start)
        found = [p.grad for p in self.params]
        saved = None if point is None else [p.detach().clone() for p in self.params]
        try:
            if point is not None:
                for p, value in zip(self.params, point, strict=True):
                    p.data.copy_(value)
            for p in self.params:
                p.grad = None
            listens = (
                nullcontext() if self.senses is None else self.senses.during(self.closure, self.count == 0)
            )
            with torch.enable_grad(), listens:
                loss = closure()
            if loss is None:
                raise ValueError(
                    "the closure returned None: it must compute the loss, call backward and return the loss"
                )
            grads = [p.grad for p in self.params]
        finally:
            if saved is not None:
                for p, value in zip(self.params, saved, strict=True):
                    p.data.copy_(value)
            for p, g in zip(self.params, found, strict=True):
                p.grad = g
        if self._after is None:
            self._after = _random_state(self.params)
        self.count += 1
        loss = loss.detach() if isinstance(loss, Tensor) else torch.as_tensor(loss)
        return sharding.mean_over_ranks(loss, self.places), grads

    def hvp(self, vectors: Sequence[Tensor | None], exact: bool = False) -> list[Tensor | None]:
        """The Hessian's product with a vector over the whole tree (None: zero), all else random held fast.

            ∇²f(w) v ≈ (∇f(w + εv) - ∇f(w - εv)) / 2ε,    ε = ∛(rounding) max(1, ‖w‖) / ‖v‖, a power of 2

        Two evaluations by differences, which go through whatever the closure does (autocast, accumulation, FSDP2, fused
        kernels without a second derivative); the error is O(ε²). ``exact``: by differentiating twice, which needs the
        forward pass itself and so a ``piste.closure``, whose kernels all have second derivatives, and whole weights.
        """
        if exact:
            return self._exact_hvp(vectors)
        size = _norm([v for v in vectors if v is not None])
        where = _norm(self.params)
        if size == 0 or not math.isfinite(size * where):  # 0, or what a broken step's guard shall see
            return [None if v is None else torch.full_like(v, size * where * 0) for v in vectors]
        rounding = max(torch.finfo(p.dtype).eps for p in self.params)
        # a power of 2, so that sums that are cut elsewhere (over ranks) round to the same points
        step = 2.0 ** round(math.log2(rounding ** (1 / 3) * max(1.0, where) / size))
        pairs = list(zip(self.params, vectors, strict=True))
        ahead, behind = (
            self([p.detach() if v is None else p.detach() + s * v for p, v in pairs])[1]
            for s in (step, -step)
        )
        return [
            None if a is None or b is None else (a - b) / (2 * step)
            for a, b in zip(ahead, behind, strict=True)
        ]

    def refuse_exact(self) -> None:
        """Say, before anything is evaluated, why this closure allows no exact products."""
        if getattr(self.closure, "hvp", None) is None:
            raise TypeError(
                "exact Hessian products differentiate the forward pass twice, which a plain closure does not show: "
                "pass piste.closure(forward, batches, model), or leave exact=True out (differences of gradients)"
            )
        if any(self.places):
            raise ValueError(
                "exact Hessian products need whole weights, and these are sharded: leave exact=True out "
                "(differences of gradients)"
            )

    def _exact_hvp(self, vectors: Sequence[Tensor | None]) -> list[Tensor | None]:
        self.refuse_exact()
        return self._differentiated(self.closure.hvp, vectors)  # type: ignore[attr-defined]

    def refuse_residuals(self) -> None:
        """Say, before anything is evaluated, why this closure shows no residuals."""
        if getattr(self.closure, "residual", None) is None:
            raise TypeError(
                "this method solves equations and wants their residuals, not a loss alone: pass "
                "piste.closure(lambda batch: model(batch.x) - batch.y, batches, model, residuals=True)"
            )

    def gauss_newton(self, vectors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """JᵀJ times a vector (None: zero), J the Jacobian of the residuals, all random held fast.

        Needs ``piste.closure(..., residuals=True)`` and whole weights.
        """
        self.refuse_residuals()
        return self._differentiated(self.closure.gauss_newton, vectors)  # type: ignore[attr-defined]

    def _differentiated(self, products: Callable[..., Any], vectors: Sequence[Tensor | None]) -> Any:
        if self._start is not None:
            _set_random_state(self._start)
        with torch.enable_grad():
            return products(self.params, vectors)

    def finish(self) -> None:
        """Leave the random state where one evaluation would have left it."""
        if self._after is not None:
            _set_random_state(self._after)


def _norm(tensors: Sequence[Tensor]) -> float:
    """Of all of them as one vector, wherever they live."""
    squares = (sharding.number(torch.linalg.vector_norm(t.detach(), dtype=_wide(t))) ** 2 for t in tensors)
    return sum(squares) ** 0.5


def _wide(t: Tensor) -> torch.dtype:
    return torch.promote_types(t.dtype, torch.float32)


def _random_state(params: Sequence[Tensor]) -> dict[str, Any]:
    devices = sorted({p.device.index or 0 for p in params if p.device.type == "cuda"})
    return {"cpu": torch.get_rng_state(), "cuda": {d: torch.cuda.get_rng_state(d) for d in devices}}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    for device, value in state["cuda"].items():
        torch.cuda.set_rng_state(value, device)
