"""Routing: every parameter to one chain, by its role, with a reason; patterns override, doubts warn."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod
from typing import Literal

from torch import Tensor, nn

from piste._routing.fused import stacked
from piste._routing.matrices import MatrixView, matrix_view
from piste._routing.roles import MATRIX_ROLES, ROLES, Role, survey
from piste._routing.sites import HEADS, Layer, Site, hint

Overrides = Mapping[str, str | Sequence[str]]

_LONG = 100  # sides of a matrix beyond this ratio: orthogonalizing it is close to normalizing one vector


class RoutingWarning(UserWarning):
    """A parameter went somewhere for a reason that deserves a look; the message says what to do about it."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """One parameter, its role, the text of its matrix view (None: the default), where it goes, and why."""

    name: str
    parameter: Tensor
    role: Role
    view: str | None
    to: Literal["main", "rest"]
    reason: str


def route(module: nn.Module, *, matrix: bool, overrides: Overrides | None = None) -> list[Assignment]:
    """One assignment per parameter of ``module``, shared ones once under their first name.

    ``matrix``: the main chain is for matrices, so roles outside ``MATRIX_ROLES`` go to the rest; otherwise
    all go to main. ``overrides`` maps patterns (``*`` and ``?`` on names) to ``"main"``, ``"rest"``, a role,
    a view, or several of these; they apply in order, the last word wins. Raises ``ValueError`` on parameters
    flattened by FSDP1 (for a matrix chain), on a pattern without a match and on a view that does not fit;
    warns with ``RoutingWarning``.
    """
    found = survey(module)
    if matrix:
        refuse_flattened((name, site.parameter) for name, site in found.sites.items())
    table = {name: _assign(site, found.roles[name], matrix) for name, site in found.sites.items()}
    decided = _override(table, found.sites, overrides or {}, matrix)
    result = list(table.values())
    if matrix:
        _warn(_doubtful([(name, why) for name, why in found.doubts if name not in decided]))
        _warn(_extreme([a for a in result if a.to == "main" and a.name not in decided]))
        if result and not decided and all(a.to == "rest" for a in result):
            _warn("no parameter is a hidden matrix, so all go to the rest chain; name some in overrides")
    if result and not any(a.parameter.requires_grad for a in result):
        _warn("every parameter is frozen (requires_grad=False): no step will change anything")
    return result


def route_bare(
    named_params: Iterable[tuple[str, Tensor]], matrix: bool, overrides: Overrides | None = None
) -> list[Assignment]:
    """Assignments without a module: for a matrix chain all of two and more dimensions go to main.

    Embeddings and output heads cannot be told from hidden matrices here, which one ``RoutingWarning`` says.
    Overrides work as in ``route``.
    """
    named = list(named_params)
    if matrix:
        refuse_flattened(named)
    table = {name: _assign_bare(name, parameter, matrix) for name, parameter in named}
    _override(table, {}, overrides or {}, matrix)
    result = list(table.values())
    if matrix and not overrides and any(a.to == "main" for a in result):
        _warn(
            "bare parameters do not tell embeddings and output heads from hidden matrices: every parameter "
            "of two or more dimensions goes to the matrix chain; pass the module instead (or overrides)"
        )
    return result


def _assign(site: Site, role: Role, matrix: bool) -> Assignment:
    to = "main" if not matrix or role.kind in MATRIX_ROLES else "rest"
    return Assignment(site.name, site.parameter, role, role.view, to, role.reason)


def _assign_bare(name: str, parameter: Tensor, matrix: bool) -> Assignment:
    kind = "hidden" if parameter.ndim > 1 else "vector" if parameter.ndim else "scalar"
    role = Role(kind, None, "a bare parameter, known by its dimensions alone")
    return Assignment(
        name, parameter, role, None, "main" if not matrix or kind == "hidden" else "rest", role.reason
    )


def _override(
    table: dict[str, Assignment], sites: Mapping[str, Site], overrides: Overrides, matrix: bool
) -> set[str]:
    """Applies ``overrides`` to ``table`` and returns the names that a pattern decided."""
    decided: set[str] = set()
    for pattern, words in overrides.items():
        names = [name for name in table if fnmatchcase(name, pattern)]
        if not names:
            near = get_close_matches(pattern, table, n=3, cutoff=0.3)
            raise ValueError(
                f"override '{pattern}' matches no parameter; nearest: {', '.join(near) or 'none'} "
                "(patterns match whole names, with * and ?)"
            )
        for name in names:
            for word in [words] if isinstance(words, str) else words:
                table[name] = _say(table[name], sites.get(name), pattern, word, matrix)
        decided.update(names)
    return decided


def _say(a: Assignment, site: Site | None, pattern: str, word: str, matrix: bool) -> Assignment:
    """``a`` after one word of an override."""
    reason = f"override '{pattern}'"
    if word == "main" or word == "rest":
        return replace(a, to=word, reason=reason)
    if "->" in word:
        try:
            view = MatrixView.parse(word)
            view.shapes(a.parameter.shape)
        except ValueError as error:
            raise ValueError(f"override '{pattern}' for parameter '{a.name}': {error}") from error
        return replace(
            a, role=replace(a.role, view=str(view), blocks=view.rows or None), view=str(view), reason=reason
        )
    if word not in ROLES:
        near = get_close_matches(word, [*ROLES, "main", "rest"], n=1)
        guess = f"did you mean '{near[0]}'? " if near else ""
        raise ValueError(
            f"override '{pattern}' says '{word}', which is neither 'main', 'rest', a role nor a view; {guess}"
            f"roles: {', '.join(ROLES)}; a view contains '->'"
        )
    role = _recast(a, site, word, reason)
    to = "main" if not matrix or word in MATRIX_ROLES else "rest"
    return replace(a, role=role, view=role.view, to=to, reason=reason)


def _recast(a: Assignment, site: Site | None, kind: str, reason: str) -> Role:
    """Another role for the same parameter, with the view that goes with it."""
    shape, role = a.parameter.shape, a.role
    if kind == role.kind or kind not in MATRIX_ROLES or {kind, role.kind} == {"conv", "stem"}:
        return replace(role, kind=kind, reason=reason)
    if kind == "experts" and len(shape) == 3:
        return Role(kind, "e m n -> e m n", reason)
    if kind == "qkv" and len(shape) == 2 and shape[0] % 3 == 0:
        blocks = (shape[0] // 3,) * 3
        return Role(kind, stacked(Layer(shape[0], shape[1], "linear"), blocks), reason, blocks)
    if kind == "heads":
        return Role(kind, _per_head(a, site), reason)
    whole = "i o -> o i" if role.view and role.view.startswith("i ") and len(shape) == 2 else None
    return Role(kind, whole, reason)


def _per_head(a: Assignment, site: Site | None) -> str:
    heads = hint((*site.parents, site.owner), HEADS) if site else None
    if not heads or a.parameter.ndim != 2 or a.parameter.shape[0] % heads:
        raise ValueError(
            f"parameter '{a.name}' of shape {tuple(a.parameter.shape)}: the number of heads is unknown or "
            "does not divide the rows; give the view instead, such as '(h d) i -> h d i | h=8'"
        )
    return str(MatrixView("(h d) i -> h d i", (("h", heads),)))


def refuse_flattened(named: Iterable[tuple[str, Tensor]]) -> None:
    """Raises ``ValueError`` for a parameter that FSDP1 flattened: it is no matrix any more."""
    """Raises ``ValueError`` at the first parameter that FSDP1 flattened: its matrices are gone."""
    for name, parameter in named:
        flags = ("_is_flat_param", "_fsdp_flattened", "_fqns")
        if any(hasattr(parameter, flag) for flag in flags) or "_flat_param" in name.split("."):
            raise ValueError(
                f"parameter '{name}' was flattened by FSDP1 (FullyShardedDataParallel), so its matrices are "
                "gone and a matrix optimizer cannot work on it; shard with fully_shard (FSDP2) instead"
            )


def _doubtful(doubts: Sequence[tuple[str, str]]) -> str | None:
    if not doubts:
        return None
    listed = "; ".join(f"'{name}' is {why}" for name, why in doubts[:4])
    more = f" (and {len(doubts) - 4} more)" if len(doubts) > 4 else ""
    return (
        f"treated as whole hidden matrices: {listed}{more}. If that is wrong, override, for instance "
        f"{{'{doubts[0][0]}': 'head'}} or with a view"
    )


def _extreme(assignments: Sequence[Assignment]) -> str | None:
    extreme = [
        a for a in assignments if a.parameter.requires_grad and a.role.kind != "router" and _aspect(a) > _LONG
    ]
    if not extreme:
        return None
    listed = ", ".join(f"'{a.name}' {tuple(a.parameter.shape)}" for a in extreme[:4])
    more = f" and {len(extreme) - 4} more" if len(extreme) > 4 else ""
    return (
        f"extreme shapes go to the matrix chain: {listed}{more} (sides differ by over {_LONG} ×, so a step "
        f"is nearly one normalized vector); override with {{'{extreme[0].name}': 'rest'}} or give a view"
    )


def _aspect(a: Assignment) -> float:
    shapes = matrix_view(a.view, a.parameter.ndim).shapes(a.parameter.shape)
    return max(max(s[-2:]) / max(min(s[-2:]), 1) for s in shapes) if prod(a.parameter.shape) else 1.0


def _warn(message: str | None) -> None:
    if message:
        warnings.warn(message, RoutingWarning, stacklevel=3)
