"""A plan as text: bytes by role of the whole model, and what the ranks of a mesh hold, do and send."""

from __future__ import annotations

from collections.abc import Sequence

from ._plan import Cost, Plan


def memory(plan: Plan) -> str:
    """A table of the whole model: bytes of weights, gradients and each slot of state, by role."""
    roles = plan.roles()
    shared = Cost(state=plan.shared)
    everything = sum((cost for _, _, cost in roles.values()), shared)
    slots = list(everything.state)
    rows: list[tuple[str, ...]] = [
        (role, f"{count:,}", f"{numel:,}", *_sizes(cost, slots))
        for role, (count, numel, cost) in roles.items()
    ]
    rows += [("shared", "", "", *_sizes(shared, slots))] if plan.shared else []
    counts = (sum(count for count, _, _ in roles.values()), sum(numel for _, numel, _ in roles.values()))
    rows.append(("all", *(f"{n:,}" for n in counts), *_sizes(everything, slots)))
    head = ("role", "parameters", "numbers", "weights", "gradients", *slots, "state")
    per = everything.state_bytes / max(1, counts[1])
    return f"{_table(head, rows)}\n{everything.state_bytes:,} bytes of state, {per:.2f} for each number"


def ranks(plan: Plan) -> str:
    """What each rank of the mesh holds, does and sends: the most that any does, and the mean."""
    most, total, size = plan.largest, plan.total, plan.mesh.dp * plan.mesh.tp
    rows = [
        ("weights", size_of(most.weights), size_of(total.weights / size)),
        ("gradients", size_of(most.gradients), size_of(total.gradients / size)),
        ("state", size_of(most.state_bytes), size_of(total.state_bytes / size)),
        *((f"  {slot}", size_of(n), size_of(total.state[slot] / size)) for slot, n in most.state.items()),
        ("moved in memory by the optimizer's step", size_of(most.moved), size_of(total.moved / size)),
        ("sent by the optimizer's step", size_of(most.sent), size_of(total.sent / size)),
        ("sent by FSDP or DDP for the model", size_of(most.model), size_of(total.model / size)),
        ("flops of the optimizer's matrices", flops_of(most.flops), flops_of(total.flops / size)),
    ]
    count = f"{plan.mesh.size:,} ranks" if plan.mesh.size > 1 else "one rank"
    table = _table((f"on {count} ({plan.mesh})", "the busiest", "mean"), rows)
    moving, gathered = plan.travellers
    notes = (
        [f"{moving:,} parameters go whole to one rank each, which works on them for all"] if moving else []
    )
    notes += (
        [f"{gathered:,} parameters are gathered by every rank, which does all their work"] if gathered else []
    )
    return "\n".join([table, *notes, f"{most.state_bytes:,} bytes of state on the rank that has most"])


def _sizes(cost: Cost, slots: Sequence[str]) -> list[str]:
    numbers = [cost.weights, cost.gradients, *(cost.state.get(slot, 0) for slot in slots), cost.state_bytes]
    return [size_of(n) for n in numbers]


def size_of(n: float) -> str:
    """Bytes in the largest unit that leaves a digit before the point."""
    return _scaled(n, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def flops_of(n: float) -> str:
    return _scaled(n, 1000, ("flop", "kflop", "Mflop", "Gflop", "Tflop", "Pflop", "Eflop", "Zflop"))


def _scaled(n: float, base: int, units: Sequence[str]) -> str:
    for unit in units:
        if n < base or unit == units[-1]:
            return f"{n:.0f} {unit}" if unit == units[0] else f"{n:.1f} {unit}"
        n /= base
    raise AssertionError("the last unit returns")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned text, names to the left and numbers to the right."""
    width = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = [
            f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, width, strict=True))
        ]
        return "  ".join([first, *rest]).rstrip()

    return "\n".join([line(head), "-" * len(line(head)), *map(line, rows)])
