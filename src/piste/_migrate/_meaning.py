"""What a slot means, beyond the name its transform gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from .. import _sharding as sharding
from .._leaf import Leaf
from .._owners import everywhere
from .._slots import Slot
from .._state import slot_shapes
from .._transform import Chain


class Meaning(NamedTuple):
    """``of``: "gradient" or "square". ``form``: a decaying "mean" with rate ``beta``, a decaying "sum", the "total" of
    all, the "largest" mean so far. ``counted``: the rule divides it by 1 - βᵗ."""

    of: str
    form: str
    beta: str = ""
    counted: bool = False


_FIRST, _SECOND = Meaning("gradient", "mean", "beta1", True), Meaning("square", "mean", "beta2", True)
_LARGEST = Meaning("square", "largest", "beta2", True)
MEANINGS: dict[tuple[str, str], Meaning] = {
    ("ema", "momentum_buffer"): Meaning("gradient", "mean", "momentum"),
    ("trace", "momentum_buffer"): Meaning("gradient", "sum", "momentum"),
    ("scale_by_lion", "exp_avg"): Meaning("gradient", "mean", "beta2"),
    ("scale_by_adam", "exp_avg"): _FIRST,
    ("scale_by_adam", "exp_avg_sq"): _SECOND,
    ("scale_by_raw_adam", "exp_avg"): _FIRST,
    ("scale_by_raw_adam", "exp_avg_sq"): _SECOND,
    ("scale_by_amsgrad", "exp_avg"): _FIRST,
    ("scale_by_amsgrad", "exp_avg_sq"): _SECOND,
    ("scale_by_amsgrad", "max_exp_avg_sq"): _LARGEST,
    ("scale_by_amsgrad_paper", "exp_avg"): _FIRST._replace(counted=False),
    ("scale_by_amsgrad_paper", "exp_avg_sq"): _SECOND._replace(counted=False),
    ("scale_by_amsgrad_paper", "max_exp_avg_sq"): _LARGEST._replace(counted=False),
    ("scale_by_adamax", "exp_avg"): _FIRST,
    ("scale_by_adamax_paper", "exp_avg"): _FIRST,
    ("scale_by_rms", "square_avg"): Meaning("square", "mean", "alpha"),
    ("scale_by_centered_rms", "square_avg"): Meaning("square", "mean", "alpha"),
    ("scale_by_centered_rms", "grad_avg"): Meaning("gradient", "mean", "alpha"),
    ("scale_by_adagrad", "sum"): Meaning("square", "total"),
    ("scale_by_debiased_rms", "exp_avg_sq"): _SECOND,
}
_STILL_A_GRADIENT = ("decay_weights", "clip_by_global_norm", "clip_by_value", "clip_by_unit_norm")
_WEIGHT_SPACE = ("scale_by_shampoo", "graft")  # composites whose chains see the gradient itself
BASIS = "in_eigenbasis"


class Entry(NamedTuple):
    """One slot of a chain: what it is, what it means (None where only its own transform knows), and in what space.
    ``counted``: its rule divides it by 1 - βᵗ, whatever it is a mean of."""

    slot: Slot
    transform: str
    meaning: Meaning | None
    hyper: Mapping[str, Any]
    space: str
    counted: bool = False


class Side:
    """A parameter in one of the two optimizers: its slots, and the bases some of them live in."""

    def __init__(self, chain: Chain, leaf: Leaf, optimizer: str) -> None:
        self.chain, self.leaf, self.optimizer = chain, leaf, optimizer
        self.step: int = leaf.state["step"]
        self.stepped = self.step > (-1 if chain.primes else 0)
        bases = dict(_entries(chain, "", "", ()))
        shapes = slot_shapes(chain, leaf)
        self.shapes = {k: v for k, v in shapes.items() if v[0].kind != "probe" and k in leaf.state}
        self.entries = {k: bases[k if k in bases else k.rpartition(".")[0]] for k in self.shapes}

    def whole(self, name: str) -> Tensor:
        """The slot, whole on every rank."""
        leaf, slot = self.leaf, self.shapes[name][0]
        if name in leaf.owned:
            return everywhere(leaf, name)
        kept = leaf.read(name)
        return sharding.whole(kept, leaf.place, kept.dim() - len(leaf.shape)) if "m n" in slot.axes else kept

    def part(self, name: str, whole: Tensor) -> Tensor:
        """What is kept here of a whole slot (nothing, where another rank owns it)."""
        leaf, slot = self.leaf, self.shapes[name][0]
        if name in leaf.owned:
            return whole if leaf.lives(name) else whole.new_empty(0)
        if "m n" in slot.axes:
            return sharding.put_back(whole, leaf.place, whole.dim() - len(leaf.shape))
        return whole

    def turn(self, value: Tensor, square: bool) -> Tensor:
        """Out of the eigenbasis: Q_L x Q_Rᵀ, and with squared entries for squares (exact where the turned
        coordinates are uncorrelated, which is what the basis is for)."""
        turned = []
        matrices = self.leaf.matrices(value)
        for i, x in enumerate(matrices):
            end = f".{i}" if len(matrices) > 1 else ""
            left, right = (self.whole(q + end) if q + end in self.shapes else None for q in ("Q_L", "Q_R"))
            if square:
                left, right = (None if q is None else q.square() for q in (left, right))
            x = x if left is None else left @ x
            turned.append(x if right is None else x @ right.mT)
        return self.leaf.from_matrices(turned)


def _entries(chain: Chain, prefix: str, space: str, behind: tuple[str, ...]) -> Iterator[tuple[str, Entry]]:
    for part in chain.parts:
        t = part.transform
        for name, slot in t.slots.items():
            known = MEANINGS.get((t.name, name))
            meaning = None if behind else known
            yield (
                prefix + name,
                Entry(slot, t.name, meaning, part.hyper, space, known is not None and known.counted),
            )
        for i, held in enumerate(part.inner):
            inner = space if t.name in _WEIGHT_SPACE else t.name
            yield from _entries(held, prefix + part.prefix(i), inner, behind)
        if t.room == "direction" and t.name not in _STILL_A_GRADIENT:
            behind = (*behind, t.name)


def carried(
    old: Side, source: str, new: Side, name: str, turn: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """An old slot as the new one is kept: what lives at an owner, or must be turned, is whole in between."""
    if turn is None and source not in old.leaf.owned and name not in new.leaf.owned:
        return old.leaf.read(source)
    value = old.whole(source)
    return new.part(name, value if turn is None else turn(value))


def number(value: Any, step: int) -> float:
    """A hyperparameter at this step."""
    today: Any = value(step) if callable(value) else value
    return float(today)


def factor_between(old: Entry, new: Entry, step: int) -> float | None:
    """What makes the one of the other after ``step`` steps. A rule that does not count takes a mean as it is."""
    a, b = old.meaning, new.meaning
    assert a is not None and b is not None
    factor, bias = 1.0, 1.0
    if a.beta:
        bias = 1 - number(old.hyper[a.beta], step) ** step
    if a.form == "sum":  # b = Σ μᵏ (1-τ) g
        undamped = 1 - number(old.hyper["dampening"], step)
        if undamped == 0:
            return None
        factor *= (1 - number(old.hyper[a.beta], step)) / undamped
    if a.form == "total":
        factor /= step
    if b.form == "total":
        return factor * step / bias
    if b.form == "sum":
        return factor * (1 - number(new.hyper["dampening"], step)) / (1 - number(new.hyper[b.beta], step))
    if b.counted:
        target = 1 - number(new.hyper[b.beta], step) ** step
        factor *= 1.0 if target == bias else target / bias
    return factor
