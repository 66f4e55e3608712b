"""What a user hands an optimizer, made into complete param groups. Everything is checked before anything is kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ._chain import Chain
from ._factory import BOOKKEEPING, NOTES, Factory
from ._layers import owned
from ._registry import get, unknown
from ._routing import MATRIX_ROLES, ROLES, Role, refuse_flattened, route, route_bare

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
    """Groups with every key present: hyperparameters, "params", "param_names", "optimizer", "step", "view", "role",
    "active"; and "roles" by parameter name, which the optimizer takes out for itself."""
    if isinstance(params, nn.Module):
        rows = _of_module(factory, params, overrides, hyper)
    elif _chain(factory, hyper).senses:
        raise TypeError(f"{factory.name} watches the layers that own its parameters: "
                        f"pass the module, piste.{factory.name}(model), not its parameters")  # fmt: skip
    elif isinstance(params, Tensor):
        raise TypeError(
            f"{factory.name} takes a module, parameters() or groups, not a single tensor: pass [tensor]"
        )
    else:
        items = _listed(params, factory.name)
        if not items:
            raise ValueError(f"{factory.name} got no parameters: an empty list, a module without parameters, or a "
                             "generator that was already consumed (pass list(model.parameters()))")  # fmt: skip
        if isinstance(items[0], Mapping):
            return _of_groups(factory, items, hyper, rest, overrides)
        if overrides:
            raise ValueError(
                "overrides route parameters by name and role: pass the module instead of its parameters"
            )
        rows = _bare(factory, named(items))
    return _group(factory, rows, hyper, rest)


def _of_groups(
    factory: Factory, items: Sequence[Mapping[str, Any]], hyper: dict[str, Any], rest: Mapping[str, Any] | None,
    overrides: Mapping[str, str] | None,
) -> list[dict[str, Any]]:  # fmt: skip
    if overrides:
        raise ValueError("overrides route a module's parameters; here the groups say where theirs go: "
                         "pass the module, or put piste.AdamW.group(params) among the groups")  # fmt: skip
    groups: list[dict[str, Any]] = []
    for item in items:
        if not isinstance(item, Mapping):
            raise TypeError(
                f"{factory.name} got groups and a {type(item).__name__} in one list: make all of them groups"
            )
        groups += complete(factory, dict(item), hyper, rest, sum(len(g["params"]) for g in groups))
    if not any(g["params"] for g in groups):
        raise ValueError(f"{factory.name} got {len(groups)} groups without a single parameter")
    refuse_repeats(groups)
    return groups


def _listed(params: Any, who: str) -> list[Any]:
    """As a list, whose order is that of every run and checkpoint."""
    if isinstance(params, (set, frozenset)):
        raise TypeError(f"{who} got a set of parameters, whose order changes between runs: pass a list")
    if not isinstance(params, Iterable):
        raise TypeError(f"{who} takes a module, parameters(), named_parameters() or groups, not {params!r}")
    return list(params)


def refuse_repeats(groups: Iterable[Mapping[str, Any]]) -> None:
    """No parameter and no name may stand in two places."""
    owners: dict[int, str] = {}
    names: set[str] = set()
    for group in groups:
        for name, p in zip(group["param_names"], group["params"], strict=True):
            if id(p) in owners:
                raise ValueError(
                    f"parameter {name!r} was given twice (also as {owners[id(p)]!r}): give each once"
                )
            if name in names:
                raise ValueError(f"two parameters are named {name!r}: give each its own name, such as "
                                 f"[('decoder.{name}', p)], or leave the names out")  # fmt: skip
            owners[id(p)] = name
            names.add(name)


def named(items: Iterable[Any], at: int = 0) -> Named:
    """(name, tensor) pairs; bare tensors are called by their position."""
    pairs: Named = []
    for i, item in enumerate(items):
        has_name = isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[0], str)
        pair: Any = item if has_name else (f"param_{at + i}", item)
        pairs.append((pair[0], pair[1]))
    return pairs


def complete(
    factory: Factory,
    group: dict[str, Any],
    hyper: dict[str, Any],
    rest: Mapping[str, Any] | None,
    at: int = 0,
) -> list[dict[str, Any]]:
    """A user's own group. One that names its optimizer, role or view is taken at its word, else shapes decide."""
    params = group.pop("params", None)
    if params is None:
        raise ValueError(f"a param group needs 'params'; this one has {sorted(group)}")
    pairs = _pairs(params, group.pop("param_names", None), at)
    own = {k: v for k, v in group.items() if k not in BOOKKEEPING and k not in NOTES}
    given = {k: v for k, v in group.items() if k in ("active", "storage", *NOTES) and v is not None}
    if "optimizer" in group:
        theirs = factory_of(group["optimizer"])
        base = hyper if theirs.name == factory.name else {}
        return _group(theirs, _said(pairs, group, "given"), {**base, **own}, None, **given)
    if group.get("role") or group.get("view"):
        main = not factory.matrix or group.get("view") or group["role"] in MATRIX_ROLES
        rows = _said(pairs, group, "main" if main else "rest")
    else:
        rows = _bare(factory, pairs)
    if any(r[4] == "rest" for r in rows):
        # a group's own hyperparameters speak of the main optimizer; of them the rest takes what it knows, but lr
        rest = {role: _with_own(spec, own) for role, spec in _by_role(factory, rest).items()}
    return _group(factory, rows, {**hyper, **own}, rest, **given)


def _said(pairs: Named, group: Mapping[str, Any], to: str) -> list[Row]:
    kind = group.get("role") or ""
    if kind and kind not in ROLES:
        raise ValueError(f"a param group has an {unknown('role', kind, ROLES)}")
    role = Role(kind, group.get("view"), "its group says so")
    return [(name, p, role, group.get("view"), to) for name, p in pairs]


def _pairs(params: Any, names: Any, at: int) -> Named:
    if isinstance(params, nn.Module):
        raise TypeError(f"the 'params' of a group are a {type(params).__name__}: pass its named_parameters(); to route "
                        "by role, pass the whole model in place of groups")  # fmt: skip
    items = [params] if isinstance(params, Tensor) else _listed(params, "a param group")
    if not items and isinstance(params, Iterator):
        raise ValueError("the 'params' of a group are a generator that was already consumed: "
                         "pass list(model.parameters())")  # fmt: skip
    return named(items, at) if names is None else list(zip(names, [_tensor(p) for p in items], strict=True))


def _tensor(item: Any) -> Any:
    return item[1] if isinstance(item, (tuple, list)) else item


def _with_own(spec: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    known = factory_of(str(spec["optimizer"])).defaults
    return {**spec, **{k: v for k, v in own.items() if k in known and k != "lr"}}


def _by_role(factory: Factory, rest: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """The groups of what is not a hidden matrix by role, the optimizer's own where the user has named none; "*" is for
    every other role. A single group is for all of them."""
    assert factory.rest is not None
    own = factory.rest()
    rest = own if rest is None else rest
    if "optimizer" in rest:
        return {"*": rest}
    for role, spec in rest.items():
        if not isinstance(spec, Mapping) or "optimizer" not in spec:
            raise ValueError("rest= takes a group such as piste.AdamW.group(lr=3e-4), or one for each role: "
                             f"{{'embedding': group, '*': group}}; it has {role!r}: {spec!r}")  # fmt: skip
        if role in MATRIX_ROLES:
            raise ValueError(f"rest= has a group for {role!r}, a matrix, which goes to {factory.name} itself: send it "
                             "to the rest with overrides={name: 'rest'}, and its group is that of '*'")  # fmt: skip
        if role not in ROLES and role != "*":
            others = [r for r in ROLES if r not in MATRIX_ROLES]
            raise ValueError(f"rest= has an {unknown('role', str(role), [*others, '*'])}")
    table = {**({"*": own} if "optimizer" in own else own), **rest}
    if "*" not in table:
        raise ValueError(f"the rest of {factory.name} has no group for '*', every other role")
    return table


Row = tuple[str, Tensor, Role, Any, str]  # name, tensor, role, view, "main" | "rest" | "given"


def _of_module(
    factory: Factory, module: nn.Module, overrides: Mapping[str, str] | None, hyper: Mapping[str, Any]
) -> list[Row]:
    for name, p in module.named_parameters():
        check_parameter(name, p)  # before anybody asks it for its shape
    senses = _chain(factory, hyper).senses
    found = route(module, matrix=factory.matrix and not senses, overrides=overrides)
    if senses:  # what is watched is a whole layer, whatever its matrix is for
        layers = owned(module)
        by_hand = {a.name for a in found if a.reason.startswith("override")}
        astray = {a.name for a in found if id(a.parameter) not in layers} - by_hand
        found = [replace(a, view=None, to="rest" if a.name in astray else a.to) for a in found]
    rows = [(a.name, a.parameter, replace(a.role, reason=a.reason), a.view, a.to) for a in found]
    if not rows:
        raise ValueError(f"{factory.name} got a {type(module).__name__} without parameters")
    return rows


def _bare(factory: Factory, pairs: Named) -> list[Row]:
    for name, p in pairs:
        check_parameter(name, p)
    if not factory.matrix:
        return [(name, p, Role("", None, ""), None, "main") for name, p in pairs]
    if factory.chain().senses:  # a late parameter, of a layer that is not watched
        return [(name, p, Role("", None, "came later"), None, "rest") for name, p in pairs]
    return [(a.name, a.parameter, a.role, a.view, a.to) for a in route_bare(pairs, matrix=True)]


def _group(
    factory: Factory, rows: list[Row], hyper: dict[str, Any], rest: Mapping[str, Any] | None, **extra: Any
) -> list[dict[str, Any]]:
    """Rows with the same destination, view and role make one group, the rest's last; no rows make one empty group, as
    in torch."""
    sheet = _sees_sheets(factory, hyper)
    groups: dict[Any, dict[str, Any]] = {}
    table = _rests(factory, rest) if factory.matrix else {}
    for name, p, role, view, to in sorted(rows, key=lambda row: row[4] == "rest"):
        check_parameter(name, p)
        view = str(view) if view is not None and (sheet and to != "rest") else None
        key = (to, view, role.kind if factory.matrix or view else "")
        if key not in groups:
            theirs, full = factory, hyper
            if to == "rest":
                theirs, full = table[role.kind if role.kind in table else "*"]
            full = theirs.checked(full, theirs.name)
            groups[key] = _blank(theirs, full, view, key[2], extra)
        groups[key]["params"].append(p)
        groups[key]["param_names"].append(name)
        groups[key]["roles"][name] = (role.kind, role.reason)
    if not rows:
        return [_blank(factory, factory.checked(hyper, factory.name), None, "", extra)]
    if factory.matrix:
        refuse_flattened((name, p) for name, p, _, _, to in rows if to != "rest")
    refuse_repeats(groups.values())
    return list(groups.values())


def _rests(factory: Factory, rest: Mapping[str, Any] | None) -> dict[str, tuple[Factory, dict[str, Any]]]:
    """By role, whose the group is and its hyperparameters: every group is checked, whether a parameter goes there or
    not."""
    table: dict[str, tuple[Factory, dict[str, Any]]] = {}
    for role, group in _by_role(factory, rest).items():
        spec = dict(group)
        theirs = factory_of(spec.pop("optimizer"))
        where = "" if role == "*" else f" for {role!r}"
        table[role] = theirs, theirs.checked(spec, f"rest group of {factory.name}{where}")
    return table


def _blank(
    factory: Factory, full: dict[str, Any], view: Any, role: str, extra: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "params": [], "param_names": [], **full, "optimizer": factory.name, "step": 0, "view": view, "role": role,
        "active": True, "roles": {}, **extra,
    }  # fmt: skip


def _sees_sheets(factory: Factory, hyper: Mapping[str, Any]) -> bool:
    return any(p.sheet for p in _chain(factory, hyper).parts)


def _chain(factory: Factory, hyper: Mapping[str, Any]) -> Chain:
    return factory.chain(**{k: v for k, v in hyper.items() if k in factory.defaults})


def check_parameter(name: str, p: Any) -> None:
    """Errors that name the parameter and the remedy."""
    if not isinstance(p, Tensor):
        raise TypeError(
            f"{name!r} is a {type(p).__name__}, not a tensor: pass model.parameters() or the model itself"
        )
    if is_lazy(p):
        raise ValueError(f"parameter {name!r} has no shape yet: run the lazy module on one batch first")
    if p.numel() == 0 and not hasattr(p, "device_mesh"):
        raise ValueError(f"parameter {name!r} is empty (shape {tuple(p.shape)}): leave it out")
    if not (p.is_floating_point() or p.is_complex()):
        raise ValueError(
            f"parameter {name!r} has dtype {p.dtype}: only floating-point or complex tensors can descend"
        )
    if not (p.is_leaf or p.retains_grad):
        raise ValueError(f"parameter {name!r} is not a leaf: optimize the tensor it was computed from")


def warn_clobbered(groups: list[dict[str, Any]], lrs: list[Any], was: list[Any]) -> bool:
    """A loop that writes one lr into every group undoes the routing; says whether it warned."""
    if len(set(was)) < 2 or len(set(lrs)) != 1 or lrs[0] == 0:
        return False
    names = ", ".join(sorted({g["optimizer"] for g in groups}))
    warnings.warn(
        f"every group now has lr={lrs[0]}, though {names} started with different ones {sorted(set(was))}: a loop that "
        "writes one lr into all groups? Scale each group's own lr instead",
        stacklevel=3,
    )
    return True
