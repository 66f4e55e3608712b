"""What a user hands an optimizer, made into complete param groups. Everything is checked before anything is kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ._factory import BOOKKEEPING, Factory
from ._registry import get
from ._routing import route, route_bare

Named = list[tuple[str, Tensor]]


def factory_of(name: str) -> Factory:
    """The factory of a registered optimizer, from a group's "optimizer" key."""
    return get(name, "optimizer").target.factory  # type: ignore[attr-defined]


def make_groups(
    factory: Factory,
    params: Any,
    hyper: dict[str, Any],
    rest: Mapping[str, Any] | None,
    overrides: Mapping[str, str] | None,
) -> list[dict[str, Any]]:
    """Groups with every key present: hyperparameters, "params" (name, tensor), "optimizer", "step", "view", "role"."""
    if isinstance(params, nn.Module):
        rows = _of_module(factory, params, overrides)
    elif isinstance(params, Tensor):
        raise TypeError(f"{factory.name} takes a module, parameters() or groups, not a single tensor: pass [tensor]")
    else:
        items = list(params)
        if not items:
            raise ValueError(f"{factory.name} got no parameters: an empty list, a module without parameters, or a "
                             "generator that was already consumed (pass list(model.parameters()))")  # fmt: skip
        if isinstance(items[0], Mapping):
            return [g for item in items for g in complete(factory, dict(item), hyper, rest)]
        if overrides:
            raise ValueError("overrides route parameters by name and role: pass the module instead of its parameters")
        rows = _bare(factory, named(items))
    return _group(factory, rows, hyper, rest)


def named(items: Iterable[Any], at: int = 0) -> Named:
    """(name, tensor) pairs; bare tensors are called by their position."""
    pairs: Named = []
    for i, item in enumerate(items):
        if isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[0], str):
            pairs.append((item[0], item[1]))
        else:
            pairs.append((f"param_{at + i}", item))
    return pairs


def complete(
    factory: Factory, group: dict[str, Any], hyper: dict[str, Any], rest: Mapping[str, Any] | None, at: int = 0
) -> list[dict[str, Any]]:
    """A user's own group. One that names its optimizer is taken at its word, else it is routed by shape."""
    params = group.pop("params", None)
    if params is None:
        raise ValueError(f"a param group needs 'params'; this one has {sorted(group)}")
    params = [params] if isinstance(params, Tensor) else list(params)
    names = group.pop("param_names", None)
    pairs = named(params, at) if names is None else list(zip(names, [_tensor(p) for p in params], strict=True))
    own = {k: v for k, v in group.items() if k not in BOOKKEEPING}
    given = {k: v for k, v in group.items() if k in ("view", "role", "active") and v is not None}
    if "optimizer" in group:
        theirs = factory_of(group["optimizer"])
        base = hyper if theirs.name == factory.name else {}
        rows = [(name, p, given.get("role", ""), given.get("view"), "given") for name, p in pairs]
        return _group(theirs, rows, {**base, **own}, None, **given)
    rows = _bare(factory, pairs)
    if any(r[4] == "rest" for r in rows):
        # a group's own hyperparameters speak of the main optimizer; of them the rest takes what it knows, but lr
        theirs = factory_of(str(_rest(factory, rest)["optimizer"]))
        rest = {**_rest(factory, rest), **{k: v for k, v in own.items() if k in theirs.defaults and k != "lr"}}
    return _group(factory, rows, {**hyper, **own}, rest, **given)


def _tensor(item: Any) -> Any:
    return item[1] if isinstance(item, (tuple, list)) else item


def _rest(factory: Factory, rest: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if rest is not None:
        if "optimizer" not in rest:
            raise ValueError("rest= takes a group such as piste.AdamW.group(lr=3e-4)")
        return rest
    assert factory.rest is not None
    return factory.rest()


Row = tuple[str, Tensor, str, Any, str]  # name, tensor, role, view, "main" | "rest" | "given"


def _of_module(factory: Factory, module: nn.Module, overrides: Mapping[str, str] | None) -> list[Row]:
    rows = [
        (a.name, a.parameter, a.role.kind, a.view, a.to)
        for a in route(module, matrix=factory.matrix, overrides=overrides)
        if a.parameter.requires_grad or factory.rest is None or a.to == "rest"
    ]
    if not rows:
        raise ValueError(f"{factory.name} got a {type(module).__name__} without parameters")
    return rows


def _bare(factory: Factory, pairs: Named) -> list[Row]:
    for name, p in pairs:
        check_parameter(name, p)
    if not factory.matrix:
        return [(name, p, "", None, "main") for name, p in pairs]
    return [(a.name, a.parameter, a.role.kind, a.view, a.to) for a in route_bare(pairs, matrix=True)]


def _group(
    factory: Factory, rows: list[Row], hyper: dict[str, Any], rest: Mapping[str, Any] | None, **extra: Any
) -> list[dict[str, Any]]:
    """Rows with the same destination, view and role make one group."""
    sheet = _sees_sheets(factory, hyper)
    seen: dict[int, str] = {}
    groups: dict[Any, dict[str, Any]] = {}
    for name, p, role, view, to in rows:
        check_parameter(name, p)
        if id(p) in seen:
            raise ValueError(f"parameter {name!r} was given twice (also as {seen[id(p)]!r}): give each once")
        seen[id(p)] = name
        view = str(view) if view is not None and (sheet and to != "rest") else None
        key = (to, view, role if factory.matrix or view else "")
        if key not in groups:
            if to == "rest":
                spec = dict(_rest(factory, rest))
                theirs = factory_of(spec.pop("optimizer"))
                full = theirs.checked(spec, f"rest group of {factory.name}")
            else:
                theirs, full = factory, factory.checked(hyper, factory.name)
            groups[key] = {
                "params": [], "param_names": [], **full, "optimizer": theirs.name, "step": 0, "view": view,
                "role": key[2], "active": extra.get("active", True),
            }  # fmt: skip
        groups[key]["params"].append(p)
        groups[key]["param_names"].append(name)
    return list(groups.values())


def _sees_sheets(factory: Factory, hyper: dict[str, Any]) -> bool:
    known = {k: v for k, v in hyper.items() if k in factory.defaults}
    return any(p.sheet for p in factory.chain(**known).parts)


def check_parameter(name: str, p: Any) -> None:
    """Errors that name the parameter and the remedy."""
    if not isinstance(p, Tensor):
        raise TypeError(f"{name!r} is a {type(p).__name__}, not a tensor: pass model.parameters() or the model itself")
    if p.numel() == 0 and not hasattr(p, "device_mesh"):
        raise ValueError(f"parameter {name!r} is empty (shape {tuple(p.shape)}): leave it out")
    if not (p.is_floating_point() or p.is_complex()):
        raise ValueError(f"parameter {name!r} has dtype {p.dtype}: only floating-point or complex tensors can descend")
    if not (p.is_leaf or p.retains_grad):
        raise ValueError(f"parameter {name!r} is not a leaf: optimize the tensor it was computed from")


def warn_clobbered(groups: list[dict[str, Any]], lrs: list[Any], was: list[Any]) -> bool:
    """A loop that writes one lr into every group undoes the routing; says whether it warned."""
    if len(set(was)) < 2 or len(set(lrs)) != 1 or lrs[0] == 0:
        return False
    names = ", ".join(sorted({g["optimizer"] for g in groups}))
    warnings.warn(f"every group now has lr={lrs[0]}, though {names} started with different ones {sorted(set(was))}: "
                  "a loop that writes one lr into all groups? Scale each group's own lr instead", stacklevel=3)  # fmt: skip
    return True


