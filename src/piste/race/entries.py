"""Who runs in a race: a way to build an optimizer, what is searched, and how its learning rate moves."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .centres import centres
from .errors import RaceError, unknown

WARMUP = 0.05  # share of a run
RATIO = 2.0  # between neighbouring learning rates of a grid
SPAN = 64.0  # between the ends of a grid, at most: many points make it finer, not wider
MARGIN = 4.0  # a log-uniform range reaches this far beyond its centre, on both sides

FAMILY = "family:"  # before the name of one, among entries
DEFAULT = ("SGD", "AdamW", "Lion", "Muon", "SOAP", "ScheduleFreeAdamW")

# Those that average their path or find their rate as they go, whose papers have no schedule.
CONSTANT = {"DoG", "LDoG", "UDoG"}

# A vocabulary is no axis to precondition: on `code` it costs SOAP five times the memory and raises its loss.
FIXED: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "DoG": {"reps_rel": 1e-4},  # in runs this short the authors' 1e-6 is still on its way
    "LDoG": {"reps_rel": 1e-4},
    "SPS": {"n_batches_per_epoch": 50},
    "SOAP": {"max_precond_dim": 512},
    "DistributedShampoo": {
        "betas": (0.9, 0.95), "grafting": "adam", "grafting_beta2": 0.95, "epsilon": 1e-10, "merge_dims": False,
        "precondition_frequency": 10, "max_preconditioner_dim": 256,
    },
}  # fmt: skip

# What a matrix optimizer gives to embeddings, head, norms and biases moves with the searched rate: one number to tune,
# as for all. Its rate over the searched one; others keep the ratio of their default rates.
REST_RATIO = {"Muon": 0.15, "TurboMuon": 0.15, "NorMuon": 0.15, "ASGO": 1.0, "DASGO": 1.0, "MARSM": 1.0}


@dataclass(frozen=True)
class Entry:
    """`build(model, lr=…, **hyper)` makes the optimizer. `centres` are middles of the learning-rate search per
    kind of task (`"general"` serves the others), `ranges` what `--full` searches beside it, log-uniformly.
    `scheduled` entries warm up and follow a cosine to zero; the others warm up and stay."""

    name: str
    build: Callable[..., Any]
    centres: Mapping[str, float]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    scheduled: bool = True
    closure: bool = False
    summary: str = ""

    def centre(self, kind: str) -> float:
        return self.centres.get(kind) or self.centres["general"]

    def schedule(self, cooldown: float = 0.0) -> str:
        """In words, where the last `cooldown` of a run is one (0: the usual schedule)."""
        falling = f"constant, 1 - √ to zero over the last {cooldown:.0%}" if cooldown else "cosine to zero"
        return f"{WARMUP:.0%} warm-up, then " + (falling if self.scheduled else "constant")


def grid(entry: Entry, kind: str, count: int) -> list[dict[str, float]]:
    """`count` learning rates at equal ratios around the entry's centre for this kind of task."""
    ratio = min(RATIO, SPAN ** (1 / max(1, count - 1)))
    exponents = (i - (count - 1) / 2 for i in range(count))
    return [{"lr": float(f"{entry.centre(kind) * ratio**e:.3g}")} for e in exponents]


def space(entry: Entry, kind: str) -> dict[str, tuple[float, float]]:
    """The log-uniform ranges that `--full` searches."""
    centre = entry.centre(kind)
    return {"lr": (centre / MARGIN, centre * MARGIN), **entry.ranges}


PROVIDED = {"closure", "module"}  # what a task can give an optimizer


def factor(entry: Entry, step: int, steps: int) -> float:
    """What multiplies the learning rate at `step` of `steps` (from 0)."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    if not entry.scheduled:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def entry(name: str) -> Entry:
    """The entry for a registered optimizer; those without pilots are searched around their default rate."""
    import piste

    names = {e.name.lower(): e for e in piste.registry("optimizer")}
    if name.lower() not in names:
        raise unknown("entry", name, (e.name for e in names.values()))
    registered = names[name.lower()]
    beyond = set(registered.needs) - PROVIDED
    if beyond:
        raise RaceError(
            f"{registered.name} cannot race: it needs {', '.join(sorted(beyond))}, which a race task does not provide"
        )
    factory = getattr(piste, registered.name, registered.target)
    defaults = {k: p.default for k, p in inspect.signature(factory).parameters.items()}
    decays = isinstance(defaults.get("weight_decay"), float) and registered.name != "SGD"
    return Entry(
        name=registered.name,
        build=_with_rest(factory) if registered.target.factory.matrix else factory,
        centres=centres(registered.name, float(defaults.get("lr") or 1e-3)),
        fixed=FIXED.get(registered.name, {}),
        ranges={"weight_decay": (1e-3, 0.3)} if decays else {},
        scheduled=registered.name not in CONSTANT and not registered.name.startswith("ScheduleFree"),
        closure="closure" in registered.needs,
        summary=registered.summary,
    )


def every() -> list[str]:
    """All registered optimizers that a task can feed, the default ones first."""
    import piste

    able = [e.name for e in piste.registry("optimizer") if set(e.needs) <= PROVIDED]
    return [n for n in DEFAULT if n in able] + [n for n in able if n not in DEFAULT]


def family(name: str) -> list[str]:
    """The optimizers of a family that a task can feed."""
    from ..optimizers.families import FAMILIES, members

    if name not in FAMILIES:
        raise unknown("family", name, FAMILIES)
    able = every()
    return [n for n in members(name) if n in able]


def _with_rest(cls: Any) -> Callable[..., Any]:
    """A matrix optimizer whose rest has a rate tied to its own."""
    usual, ratio = cls.factory.defaults["lr"], REST_RATIO.get(cls.__name__)

    def at(rest: Mapping[str, Any], lr: float) -> dict[str, Any]:
        if "optimizer" not in rest:  # a group for each role
            return {role: at(group, lr) for role, group in rest.items()}
        if "lr" not in rest:  # takes the searched rate as it is
            return dict(rest)
        return {**rest, "lr": lr * (rest["lr"] / usual if ratio is None else ratio)}

    def build(model: nn.Module, lr: float, **hyper: Any) -> Any:
        return cls(model, lr=lr, rest=at(cls.factory.rest(), lr), **hyper)

    return build
