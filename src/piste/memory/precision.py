"""How far apart two implementations of one model are, in the precisions at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register

NORMS = (
    nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm,
)  # fmt: skip
CLEAR = 2.0  # one precision's KL below another's by this factor is worth advice

LogProbs = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Mismatch:
    """Log-probabilities of the same tokens by two implementations in one precision.

    ``differences``: log π(y) - log μ(y) for every token, π the policy that is trained and μ the one that samples;
    ``kl``: the mean of r - 1 - log r with r = π/μ, which is not negative and whose mean over tokens drawn from μ is
    KL(μ‖π); ``to_reference``: the same for μ against the unrounded model; ``largest``: the largest output of a layer,
    beside ``limit``, the largest finite number of the precision.
    """

    dtype: torch.dtype
    differences: Tensor
    kl: float
    to_reference: float
    largest: float
    limit: float

    @property
    def worst(self) -> float:
        """The largest difference of one token."""
        return float(self.differences.abs().max())

    @property
    def sequences(self) -> Tensor:
        """log π/μ of whole sequences: sums over the last axis, which is what an importance weight of a sequence is."""
        return self.differences.sum(-1)

    @property
    def overflows(self) -> bool:
        return not self.differences.isfinite().all() or self.largest >= self.limit

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        room = f"largest output {self.largest:.3g} of {self.limit:.3g}"
        return f"{name}: KL {self.kl:.3g}, worst token {self.worst:.3g}, {room}"


def next_tokens(model: Any, tokens: Tensor) -> Tensor:
    """log p of each token but the first under a model from tokens [batch, time] to logits, or to what has ``.logits``;
    the softmax in at least float32."""
    made = model(tokens[:, :-1])
    logits: Tensor = getattr(made, "logits", made)
    logs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    return logs.gather(-1, tokens[:, 1:, None]).squeeze(-1)


def cast(model: nn.Module, dtype: torch.dtype, norms: torch.dtype | None = torch.float32) -> nn.Module:
    """A model's floating-point parameters and buffers in ``dtype``, in place, but for its normalizations, which compute
    in ``norms`` (None: as all else) and hand on the dtype they were given; returns the model. Shared weights stay
    shared.

    Normalizations square their input, which is where float16 overflows first and bfloat16 rounds worst.
    """
    for module in model.modules():
        here = norms if norms is not None and isinstance(module, NORMS) else dtype
        for store in (module._parameters, module._buffers):
            store: dict[str, Any]
            for name, value in store.items():
                if value is not None and value.is_floating_point():
                    if isinstance(value, nn.Parameter):
                        value.data = value.data.to(here)
                        value.grad = None if value.grad is None else value.grad.to(here)
                    else:
                        store[name] = value.to(here)
        if here is norms and here != dtype and not hasattr(module, "given_dtype"):
            module.given_dtype = dtype  # type: ignore[assignment]
            module.register_forward_pre_hook(_widen)
            module.register_forward_hook(_narrow)
    return model


def _widen(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A normalization sees its input in the dtype of its own parameters, and remembers what that came in."""
    module.given_dtype = args[0].dtype
    kept = next((t for t in module.parameters()), None)
    return (args[0].to(torch.float32 if kept is None else kept.dtype), *args[1:])


def _narrow(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
    return output.to(module.given_dtype)


def precision_mismatch(
    model: nn.Module, batch: Any, dtypes: Sequence[torch.dtype] = (torch.bfloat16, torch.float16),
    logprobs: LogProbs = next_tokens, sampler: nn.Module | None = None,
) -> list[Mismatch]:  # fmt: skip
    """What training and inference disagree about, in each precision: :class:`Mismatch` for each of ``dtypes``.

        π: the model as it is, under autocast to the dtype, as one trains
        μ: a copy whose weights are cast to it, as one samples; or ``sampler``, cast: another implementation of it

    ``batch`` and ``logprobs(model, batch)``: by default tokens [batch, time], best drawn from the model itself, and
    :func:`next_tokens`. :func:`advice` puts the result into words. The model is left as it was; it is run in evaluation
    mode, since dropout would drown what is measured.

    When: before reinforcement learning on a model's own samples, whose importance weights are these ratios. bfloat16
    has 8 bits of precision and float16 has 11, at a range of 65,504: train in it with a loss scaler.

    Reference: "Defeating the Training-Inference Mismatch via FP16", Penghui Qi, Zichen Liu, Xiangxin Zhou, Tianyu Pang,
    Chao Du, Wee Sun Lee, Min Lin, 2025, https://arxiv.org/abs/2510.26788
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            reference, largest = _watched(model, lambda: logprobs(model, batch))
            return [_one(model, batch, dtype, logprobs, sampler, reference, largest) for dtype in dtypes]
    finally:
        model.train(was_training)


def _one(
    model: nn.Module, batch: Any, dtype: torch.dtype, logprobs: LogProbs, sampler: nn.Module | None,
    reference: Tensor, largest: float,
) -> Mismatch:  # fmt: skip
    device = next((p.device.type for p in model.parameters()), "cpu")
    with torch.autocast(device, dtype=dtype, enabled=dtype.itemsize < 4):
        trained = logprobs(model, batch).double()
    other = cast(copy.deepcopy(model if sampler is None else sampler), dtype, norms=None).eval()
    sampled = logprobs(other, batch).double()
    apart = trained - sampled
    limit = torch.finfo(dtype).max
    return Mismatch(dtype, apart, _kl(apart), _kl(reference.double() - sampled), largest, limit)


def _kl(apart: Tensor) -> float:
    return float((apart.expm1() - apart).mean())


def _watched(model: nn.Module, call: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What a call gives, and the largest output of a layer meanwhile."""
    seen = [0.0]

    def look(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            seen.append(float(output.abs().max()))

    handles = [m.register_forward_hook(look) for m in model.modules()]
    try:
        return call(), max(seen)
    finally:
        for handle in handles:
            handle.remove()


def advice(found: Sequence[Mismatch]) -> str:
    """Which of the precisions to train and sample in, and why, in a sentence."""
    usable = [m for m in found if not m.overflows]
    if not usable:
        return "every precision overflows: keep float32, or find the layer whose outputs are that large"
    best, worst = min(usable, key=lambda m: m.kl), max(usable, key=lambda m: m.kl)
    name, other = (str(m.dtype).removeprefix("torch.") for m in (best, worst))
    if len(usable) == 1:
        lost = ", ".join(str(m.dtype).removeprefix("torch.") for m in found if m.overflows)
        return f"{name}: {lost} overflows" if lost else f"{name}, the only precision tried"
    if worst.kl < CLEAR * best.kl:
        return f"{name} and {other} agree with themselves alike: choose by range and speed"
    scaler = "; train with a loss scaler" if best.dtype == torch.float16 else ""
    return f"{name}, on both sides: its KL is {worst.kl / best.kl:.1f} times smaller than that of {other}{scaler}"


register("memory", "cast", cast)
register("memory", "precision_mismatch", precision_mismatch)
