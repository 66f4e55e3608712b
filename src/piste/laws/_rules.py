"""Laws of one transform, on one small random tensor in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._chain import Part, sensed_shapes
from .._leaf import Leaf
from .._program import Frame, Step, build, element, resolve, run, sum_key, summed
from .._state import make_slot, slot_shapes
from .._transform import Chain, Transform, chain
from .._tree import products
from ._verdict import Verdict, differs

SHAPE = (6, 4)
TOLERANCE = 1e-12


def check(rule: Transform | Part) -> list[Verdict]:
    """Every law that applies to a transform (hyperparameters without defaults are given plausible values)."""
    part = rule if isinstance(rule, Part) else sample(rule)
    if part.transform.room in ("sense", "oracle", "search"):
        return []
    name = part.transform.name
    found = []
    for law, test in _LAWS.items():
        try:
            detail = test(part)
        except Exception as error:  # a law that cannot even run is broken: say how
            found.append(Verdict(name, law, False, f"{type(error).__name__}: {error}"))
            continue
        if detail is not None:
            found.append(Verdict(name, law, detail == "", detail))
    return found


def sample(rule: Transform) -> Part:
    """The transform with its defaults, and plausible values for what has none."""
    from ..transforms.adaptive import scale_by_adam

    plausible = {"lr": 0.1, "eps": 1e-8, "epsilon": 1e-6, "max_norm": 0.5, "weight_decay": 0.1, "rho": 0.05}
    held = {name: chain(scale_by_adam(0.9, 0.99, 1e-8)) for name in rule.holds}
    hyper = {}
    for name in rule.hyper:
        if name not in rule.defaults:
            hyper[name] = plausible.get(name, 3 if name in rule.static else 0.9)
    return rule(**held, **hyper)


# one rule on one tensor ------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """A part over a few steps on one tensor: every step's inputs, its slots before it, and what came out."""

    steps: tuple[Step, ...]
    numbers: list[Any]
    inputs: list[dict[str, Any]]
    before: list[dict[str, Any]]
    out: list[tuple[Tensor, dict[str, Any]]]


def _apply(
    steps: tuple[Step, ...], env: Mapping[str, Any], slots: Mapping[str, Any], numbers: list[Any]
) -> Any:
    frame = _frame(env, slots)
    u = run(steps, env["u"], frame, numbers)
    return u, frame.slots


def _frame(env: Mapping[str, Any], slots: Mapping[str, Any]) -> Frame:
    return Frame({k: v for k, v in env.items() if k != "u"}, dict(slots))


def _inputs(t: int, shape: tuple[int, ...], scale: float = 1.0, several: int = 2) -> dict[str, Any]:
    """Independent u, grad, param ...: with u = grad a wrong rule passes. ``scale`` multiplies the gradients."""
    generator = torch.Generator().manual_seed(97 * t)
    env: dict[str, Any] = {
        k: torch.randn(shape, generator=generator, dtype=torch.float64)
        for k in ("u", "param", "grad", "hvp", "vector", "noise")
    }
    env |= {k: scale * env[k] for k in ("u", "grad", "hvp")}
    env["spectrum"] = env["noise"].square() + 0.1  # second moments
    for name, sides in sensed_shapes(*shape).items() if len(shape) == 2 else ():
        x = torch.randn(sides, generator=generator, dtype=torch.float64)
        env[name] = x @ x.mT if name.endswith("cov") else x.square()
    rows = torch.randn((max(2, several), *shape), generator=generator, dtype=torch.float64)
    env |= {"secant": rows[:2], "rows": rows[:several]}
    return env | {"step": t, "loss": torch.tensor(1.0, dtype=torch.float64), "dot": _dot, "peak": _peak}


def _tree_sums(
    steps: tuple[Step, ...], env: Mapping[str, Any], slots: Mapping[str, Any], numbers: list[Any]
) -> dict[Any, Tensor]:
    """Of a tree of this one tensor."""
    found = {}
    for step in steps:
        for name, rule in step.tree_sums.items():
            value = element(rule, env["u"], step, _frame(env, slots), numbers)
            found[sum_key(step, name)] = {"sum": value.sum, "mean": value.mean, "max": value.amax}[rule.how]()
    return found


def _peak(a: Tensor) -> Tensor:
    return a.abs().amax()


def _slots(part: Part, shape: tuple[int, ...]) -> dict[str, Any]:
    leaf = Leaf("w", torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64), {})
    slots: dict[str, Any] = {name: None for name, _, _ in part.slots()}
    for name, (slot, size, hyper) in slot_shapes(Chain((part,)), leaf).items():
        if slot.kind != "probe":  # a diagnostic may look at everything: it is never fed back
            copied = slot.kind == "weights"
            slots[name] = leaf.param.expand(size).clone() if copied else make_slot(slot, size, hyper, leaf)
    return {k: None if v is None else v.double() if v.is_floating_point() else v for k, v in slots.items()}


def _trace(part: Part, count: int = 3, scale: float = 1.0, shape: tuple[int, ...] = SHAPE) -> _Run:
    slots = _slots(part, shape)
    if part.scope == "tree":
        shape = (torch.Size(shape).numel(),)
        axes = {name: slot.axes for name, slot, _ in part.slots()}
        slots = {k: None if v is None else _tree_shape(v, axes[k], shape[0]) for k, v in slots.items()}
    first = 0 if part.transform.primes else 1
    result = _Run((), [], [], [], [])
    for t in range(first, first + count):
        numbers: list[Any] = []
        steps = build(resolve(Chain((part,)), t, numbers))
        windows = [v.shape[0] for v in slots.values() if v is not None and v.dim() > len(shape)]
        env: dict[Any, Any] = _inputs(t, shape, scale, max(windows, default=2))
        env |= _tree_sums(steps, env, slots, numbers)
        result.steps, result.numbers = steps, numbers
        result.inputs.append(env)
        result.before.append(slots)
        out = _apply(steps, env, slots, numbers)
        result.out.append(out)
        slots = out[1]
    return result


def _tree_shape(v: Tensor, axes: str, n: int) -> Tensor:
    """As a rule over a tree of this one parameter sees it."""
    return v.reshape(*v.shape[: v.dim() - 2], n) if "m n" in axes else v.unsqueeze(0) if axes else v


def _dot(a: Tensor, b: Tensor, apart: bool = False) -> Tensor:
    found = products(a, b)
    return found.unsqueeze(0) if apart else found


# the laws --------------------------------------------------------------------------------------------------------


def _pure(part: Part) -> str:
    seen = _trace(part)
    for env, slots in zip(seen.inputs, seen.before, strict=True):
        given = {
            **{k: v for k, v in env.items() if isinstance(v, Tensor)},
            **{k: v for k, v in slots.items() if v is not None},
        }
        copies = {k: v.clone() for k, v in given.items()}
        _apply(seen.steps, env, slots, seen.numbers)
        for k, v in given.items():
            if not torch.equal(v, copies[k]):
                return f"{k!r} was changed in place: compute a new tensor"
    return ""


def _kept(part: Part) -> str:
    for dtype in (torch.float64, torch.float32):
        seen = _trace(part)
        cast = {
            k: v.to(dtype) if isinstance(v, Tensor) and v.dim() else v for k, v in seen.inputs[-1].items()
        }
        slots = {k: v if v is None or not v.dim() else v.to(dtype) for k, v in seen.before[-1].items()}
        u, new = _apply(seen.steps, cast, slots, seen.numbers)
        if u.shape != cast["u"].shape or u.dtype != dtype:
            return f"update {tuple(cast['u'].shape)} {dtype} became {tuple(u.shape)} {u.dtype}"
        for name, value in new.items():
            was = slots[name]
            if was is not None and value.shape != was.shape:
                return f"slot {name!r} {tuple(was.shape)} became {tuple(value.shape)}"
            if was is not None and value.dim() and value.dtype != was.dtype:
                return f"slot {name!r} {was.dtype} became {value.dtype}"
    return ""


def _cutting(part: Part) -> str | None:
    if part.scope != "element":
        return None
    seen = _trace(part)
    kinds = {name: slot.axes for name, slot, _ in part.slots()}
    for env, before, (whole, new) in zip(seen.inputs, seen.before, seen.out, strict=True):
        sums = _own_sums(seen.steps, env, before, seen.numbers)
        for rows in (slice(0, 2), slice(2, 6)):
            for cols in (slice(0, 1), slice(1, 4)):
                cut = {
                    k: _cut(v, _AXES.get(k, "m n"), rows, cols)
                    if isinstance(v, Tensor) and v.dim() == 2
                    else v
                    for k, v in env.items()
                }
                cut |= {k: _cut(v, axes, rows, cols) for k, (v, axes) in sums.items()}
                slots = {k: None if v is None else _cut(v, kinds[k], rows, cols) for k, v in before.items()}
                u, got = _apply(seen.steps, cut, slots, seen.numbers)
                if differs(u, whole[rows, cols]) > TOLERANCE:
                    return "the update at an index depends on others: declare the sum it takes, or scope='tensor'"
                for name, value in got.items():
                    if (
                        value is not None
                        and differs(value, _cut(new[name], kinds[name], rows, cols)) > TOLERANCE
                    ):
                        return f"slot {name!r} depends on other indices: declare the sum, or scope='tensor'"
    return ""


def _own_sums(
    steps: tuple[Step, ...], env: Mapping[str, Any], slots: Mapping[str, Any], numbers: list[Any]
) -> dict[Any, tuple[Tensor, str]]:
    """What the whole tensor gives for the declared sums, under the keys by which a step finds them given."""
    axes = {"row": "m", "col": "n", "tensor": ""}
    found = {}
    for step in steps:
        for name, rule in step.transform.sums.items():
            if rule.over != "tree":
                whole = summed(step, name, env["u"], _frame(env, slots), numbers)
                found[sum_key(step, name)] = whole, axes[rule.over]
    return found


_AXES = {"row_sq": "m", "col_sq": "n"}  # of inputs that are not shaped as the parameter is


def _cut(v: Tensor, axes: str, rows: slice, cols: slice) -> Tensor:
    if axes == "":
        return v
    if "m n" in axes:
        return v[..., rows, cols]
    return v[rows] if axes == "m" else v[:, cols]


def _stacking(part: Part) -> str | None:
    if part.scope == "tree":
        return None
    runs = [_trace(part), _trace(part, scale=-0.5)]
    names = [k for k, v in runs[0].before[-1].items() if v is not None]
    tensors = [k for k, v in runs[0].inputs[-1].items() if isinstance(v, Tensor) and v.dim() == 2]
    rest = {k: v for k, v in runs[0].inputs[-1].items() if k not in tensors}
    shared = {name for name, slot, _ in part.slots() if slot.shared}

    def single(env: dict[str, Tensor], slots: dict[str, Tensor]) -> Any:
        absent = dict.fromkeys((k for k in runs[0].before[-1] if k not in names), None)
        u, new = _apply(runs[0].steps, {**env, **rest}, {**slots, **absent}, runs[0].numbers)
        return u, {k: v for k, v in new.items() if v is not None and k not in shared}

    env = {k: torch.stack([r.inputs[-1][k] for r in runs]) for k in tensors}
    slots = {k: torch.stack([r.before[-1][k] for r in runs]) for k in names}
    loop = [single({k: env[k][i] for k in tensors}, {k: slots[k][i] for k in names}) for i in range(2)]
    together = torch.func.vmap(single)(env, slots)
    for i, (u, new) in enumerate(loop):
        seen = max(differs(together[0][i], u), *(differs(together[1][k][i], v) for k, v in new.items()), 0.0)
        if seen > part.transform.precision:
            return "batched by vmap it gives something else than one by one"
    return ""


def _permuted(v: Tensor, order: Tensor) -> Tensor:
    """A vector, several of them, or a matrix over the whole tree."""
    v = v[..., order]
    return v[order] if v.dim() == 2 and len(v) == len(order) else v


def _permuting(part: Part) -> str | None:
    if part.scope != "tree":
        return None
    seen = _trace(part)
    order = torch.randperm(SHAPE[0] * SHAPE[1], generator=torch.Generator().manual_seed(3))
    env = {
        k: _permuted(v, order) if isinstance(v, Tensor) and v.dim() else v for k, v in seen.inputs[-1].items()
    }
    axes = {name: slot.axes for name, slot, _ in part.slots()}
    slots = {
        k: _permuted(v, order) if "m n" in axes[k] and v is not None else v
        for k, v in seen.before[-1].items()
    }
    u, _ = _apply(seen.steps, env, slots, seen.numbers)
    return (
        "" if differs(u, seen.out[-1][0][order]) <= TOLERANCE else "the order of the vector's entries matters"
    )


def _numbers(part: Part) -> str | None:
    """What compiled code sees: numbers and the step as 0-d float64 tensors."""
    if part.scope == "tree" or part.transform.primes:
        return None
    seen = _trace(part)
    env = {**seen.inputs[-1], "step": torch.tensor(float(seen.inputs[-1]["step"]), dtype=torch.float64)}
    numbers = [torch.tensor(float(x), dtype=torch.float64) for x in seen.numbers]
    u, _ = _apply(seen.steps, env, seen.before[-1], numbers)
    return "" if differs(u, seen.out[-1][0]) <= TOLERANCE else "tensors for numbers change the result"


def _invariant(part: Part) -> str | None:
    declared = part.transform.invariant
    if not declared:
        return None
    base = _trace(part)
    tests: dict[str, Callable[[], float]] = {
        "sign": lambda: differs(_trace(part, scale=-1.0).out[-1][0], -base.out[-1][0]),
        "scale": lambda: differs(_trace(part, scale=1024.0).out[-1][0], base.out[-1][0]),
        "transpose": lambda: _transposed(part, base),
    }
    for name in declared:
        if name not in tests:
            return f"unknown invariance {name!r}: sign, scale or transpose"
        seen = tests[name]()
        if seen > part.transform.precision:
            return f"{name}: differs by {seen:.1e}"
    return ""


def _transposed(part: Part, base: _Run) -> float:
    u, slots = base.inputs[-1]["u"], base.before[-1]
    if any(v is not None for v in slots.values()):
        raise ValueError("transpose is an invariance of rules without slots")
    turned = {**base.inputs[-1], "u": u.mT.contiguous()}
    return differs(_apply(base.steps, turned, {}, base.numbers)[0], base.out[-1][0].mT)


_LAWS: dict[str, Callable[[Part], str | None]] = {
    "inputs unchanged": _pure,
    "dtype and shape kept": _kept,
    "element commutes with cutting": _cutting,
    "commutes with stacking": _stacking,
    "the order of the tree is irrelevant": _permuting,
    "numbers may be tensors": _numbers,
    "declared invariances hold": _invariant,
}
