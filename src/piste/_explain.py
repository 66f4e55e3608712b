"""What an optimizer does to which parameter, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ._leaf import Leaf, blocks
from ._routing import ROLES, render
from ._state import forecast
from ._storage import plain

if TYPE_CHECKING:
    from ._optimizer import Optimizer
    from ._transform import Chain


class Explanation:
    """The routing table of an optimizer: ``rows`` as dictionaries; printed, as aligned text."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __str__(self) -> str:
        chains = {row["optimizer"]: row["chain"] for row in self.rows}
        table = render([{**row, "chain": row["optimizer"]} for row in self.rows])
        told = [f"{row['parameter']}: {axis}" for row in self.rows for axis in row["falls_back"]]
        return "\n".join([table, *(f"{name}: {parts}" for name, parts in chains.items()), *told])

    def __repr__(self) -> str:
        return str(self)


def explain(optimizer: Optimizer) -> Explanation:
    """Every parameter once: its role, matrix view, chain, lr, bytes of state, how the role was found, and the axes that
    are too long for a matrix preconditioner."""
    rows = []
    for chain, group, leaves in zip(
        optimizer.chains(), optimizer.param_groups, optimizer.leaves(), strict=True
    ):
        for leaf in leaves:
            why = optimizer._roles.get(leaf.name, ("", ""))[1] or ROLES.get(
                leaf.role, "known by its dimensions alone"
            )
            frozen = "" if leaf.given.requires_grad else "frozen; "
            rows.append(
                {
                    "parameter": leaf.name,
                    "shape": tuple(leaf.shape),
                    "role": leaf.role or ("hidden" if leaf.param.dim() > 1 else "vector"),
                    "view": group["view"],
                    "optimizer": group["optimizer"],
                    "chain": " > ".join(p.transform.name for p in chain.parts),
                    "lr": float(group["lr"]),
                    "bytes": forecast(chain, leaf) if leaf.given.requires_grad else 0,
                    "reason": frozen + why,
                    "falls_back": too_long(chain, leaf),
                }
            )
    return Explanation(rows)


LIMITS = ("max_precond_dim", "preconditioner_max_size")


def too_long(chain: Chain, leaf: Leaf) -> list[str]:
    """The axes of a parameter that have no matrix because a preconditioner's bound is shorter, and what they have."""
    found: dict[str, None] = {}
    for part in chain.parts:
        slots = list(part.slots())
        for _, slot, hyper in slots:
            limit = next((k for k in LIMITS if k in hyper), "")
            if slot.axes not in ("m m", "n n") or slot.when is None or not limit:
                continue
            rows = slot.axes == "m m"
            for shape in blocks(leaf):
                m, n = shape[-2:]
                length = m if rows else n
                if length > hyper[limit] and not slot.when(m, n, hyper):
                    beside = [s.when for _, s, _ in slots if s.axes == slot.axes[0] and s.when is not None]
                    kept = (
                        "have a diagonal" if any(has(m, n, hyper) for has in beside) else "stay as they are"
                    )
                    what = "rows" if rows else "columns"
                    found[f"{length} {what} are more than {limit}={hyper[limit]}, and {kept}"] = None
    return list(found)


def shared_bytes(chain: Chain) -> int:
    """Bytes of the scalars that the parameters of a group share."""
    return sum(
        plain.bytes(s, 1, torch.float32) for _, s, _ in chain.slots() if s.shared and s.kind != "probe"
    )


def forecast_bytes(optimizer: Optimizer) -> int:
    """Bytes of state that the chains keep of these parameters, from their declarations alone (frozen ones: none)."""
    total = 0
    for chain, leaves in zip(optimizer.chains(), optimizer.leaves(), strict=True):
        total += sum(forecast(chain, leaf) for leaf in leaves if leaf.given.requires_grad)
        total += shared_bytes(chain) if leaves else 0
    return total


__all__ = ["Explanation", "explain", "forecast_bytes"]
