"""What is to be merged and how: a value, from Python or from YAML."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ._method import Method, method_of

Model = str | Path | Mapping[str, Tensor] | nn.Module

DTYPES = {
    "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64,
}  # fmt: skip

# Hyperparameters that have a range wherever they occur: what must hold, and how it is said.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "density": (lambda v: 0 < v <= 1, "a share over 0 and at most 1"),
    "alpha": (lambda v: 0 <= v <= 1, "between 0 and 1"),
    "t": (lambda v: 0 <= v <= 1, "between 0 and 1"),
    "floor": (lambda v: v > 0, "over 0"),
    "prior": (lambda v: v > 0, "over 0"),
    "over": (lambda v: v in ("tensor", "model"), "'tensor' or 'model'"),
}


@dataclass(frozen=True)
class Rule:
    """A method with its hyperparameters; None: the tensor is taken as it is from the base, or else the first model."""

    method: Method | None
    hyper: Mapping[str, Any]

    @property
    def by_tensor(self) -> bool:
        """Whether what is measured first is measured over each tensor alone."""
        return self.hyper.get("over") == "tensor"


@dataclass
class Recipe:
    """A method, the models, what they come from, and exceptions by the names of tensors.

    ``models`` and ``base``: paths (see :class:`piste.merging.Checkpoint`), modules or state dicts. ``weights``: one per
    model; shares of 1/N for a method that wants shares, else 1 each. ``statistics`` (and ``base_statistics``):
    likewise, for the methods that weigh by them. ``hyper``: the method's hyperparameters. ``tensors``: patterns to
    ``{"method": …, hyperparameters}``, the first that fits decides; the method "keep" takes the tensor from the base,
    or else from the first model, and "drop" leaves it out. ``dtype``: of the result, that of the models unless it is
    given. ``normalize``: weights are divided by their sum.
    """

    method: str | Callable[..., Tensor]
    models: Sequence[Model]
    base: Model | None = None
    weights: Sequence[float] | None = None
    statistics: Sequence[Model] | None = None
    base_statistics: Model | None = None
    hyper: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dtype: str | None = None
    normalize: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self.rules = {p: self._rule(p, changed) for p, changed in self.tensors.items()}
        self.rules["*"] = self.rules.get("*", self._checked(self.method, self.hyper))
        method = method_of(self.method)
        n = len(self.models)
        if n < method.least or n > (method.most or n):
            bound = f"{method.least}" if method.most == method.least else (
                f"at least {method.least}" if n < method.least else f"at most {method.most}"
            )  # fmt: skip
            raise ValueError(f"{method.name} merges {bound} models; got {n}")
        for what, given in (
            ("base", self.base), ("statistics", self.statistics), ("base_statistics", self.base_statistics),
        ):  # fmt: skip
            if method.needs(what) and given is None:
                raise ValueError(f"{method.name} needs {what}= : {_WHAT[what]}")
        if self.statistics is not None and len(self.statistics) != n:
            raise ValueError(f"{n} models and {len(self.statistics)} statistics: one each is needed")
        self.weights = _weights(self.weights, n, method, self.normalize)
        shares = [
            p for p, r in self.rules.items() if r is not None and r.method is not None and r.method.normalized
        ]
        if shares and abs(sum(self.weights)) < 1e-12:
            raise ValueError(
                f"the weights sum to 0: the method of the tensors {shares[0]!r} wants shares of them"
            )
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {self.dtype!r}")

    def weights_for(self, method: Method) -> list[float]:
        """For an exception whose method wants shares, weights over their sum."""
        weights = list(self.weights or ())
        total = sum(weights)
        return [w / total for w in weights] if method.normalized else weights

    def rule_for(self, name: str) -> Rule | None:
        """What is done with the tensor of this name; None: it is left out. One object for all that a rule is for."""
        return next(rule for pattern, rule in self.rules.items() if fnmatch.fnmatchcase(name, pattern))

    def _rule(self, pattern: str, changed: Mapping[str, Any]) -> Rule | None:
        named = changed.get("method", self.method)
        if named == "drop":
            return None
        if named == "keep":
            return Rule(None, {})
        hyper = {k: v for k, v in changed.items() if k != "method"}
        if named == self.method:
            hyper = {**self.hyper, **hyper}
        return self._checked(named, hyper, f"tensors {pattern!r}: ")

    def _checked(self, named: Any, hyper: Mapping[str, Any], where: str = "") -> Rule:
        method = method_of(named)
        for key, value in hyper.items():
            if key not in method.hyper:
                known = ", ".join(method.hyper) or "none"
                raise ValueError(f"{where}{method.name} has no hyperparameter {key!r}; it has: {known}")
            holds, wanted = RANGES.get(key, (lambda v: True, ""))
            if not holds(value):
                raise ValueError(f"{where}{method.name}: {key} must be {wanted}; got {value!r}")
        return Rule(method, {**method.hyper, **hyper})


_WHAT = {
    "base": "the model that the others were fine-tuned from",
    "statistics": "the diagonal of each model's Fisher matrix, from piste.merging.fisher_diagonal",
    "base_statistics": "the diagonal of the base's Fisher matrix, from piste.merging.fisher_diagonal",
}


def _weights(given: Sequence[float] | None, n: int, method: Method, normalize: bool) -> list[float]:
    if given is None:
        return [1 / n if method.normalized else 1.0] * n
    weights = [float(w) for w in given]
    if len(weights) != n:
        raise ValueError(f"{n} models and {len(weights)} weights: one each is needed")
    total = sum(weights)
    if normalize:
        if abs(total) < 1e-12:
            raise ValueError("the weights sum to 0: they cannot be normalized")
        return [w / total for w in weights]
    if method.normalized and abs(total - 1) > 1e-6:
        raise ValueError(
            f"{method.name}'s weights are shares and must sum to 1; they sum to {total:g}: correct them, or ask for "
            f"normalize, which divides by the sum"
        )
    return weights


def load(path: str | Path) -> tuple[Recipe, dict[str, Any]]:
    """A recipe from YAML, and what it says of the output (`out`, `overwrite`, `shard_bytes`).

    method: ties
    base: base.safetensors
    models:                        # paths are seen from the recipe's folder
      - {path: a.safetensors, weight: 1.0}
      - b.safetensors
    density: 0.2                   # the method's hyperparameters
    tensors:
      "*.norm.*": {method: soup}
      "head.*": {method: keep}
    out: merged.safetensors
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ImportError('recipes in YAML need pyyaml: pip install "piste[merge]"') from error
    path = Path(path)
    try:
        said = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(said, Mapping) or "method" not in said or not said.get("models"):
        raise ValueError(f"{path}: a recipe is a table with `method:` and a list of `models:`")
    said = dict(said)
    here = path.parent

    def at(place: Any) -> Any:
        return None if place is None else here / str(place)

    rows = [m if isinstance(m, Mapping) else {"path": m} for m in said.pop("models")]
    for row in rows:
        if "path" not in row or not set(row) <= {"path", "weight", "statistics"}:
            raise ValueError(f"{path}: a model is a path, or path, weight and statistics; got {dict(row)}")
    for key in ("weight", "statistics"):
        if len({key in row for row in rows}) > 1:
            raise ValueError(f"{path}: give every model its {key}, or none")
    weights = [float(row["weight"]) for row in rows if "weight" in row]
    statistics = [at(row["statistics"]) for row in rows if "statistics" in row]
    output = {k: said.pop(k) for k in ("out", "overwrite", "shard_bytes") if k in said}
    if "out" in output:
        output["out"] = at(output["out"])
    known = {k: said.pop(k) for k in ("method", "dtype", "normalize", "seed", "tensors") if k in said}
    return Recipe(
        models=[at(row["path"]) for row in rows], weights=weights or None, statistics=statistics or None,
        base=at(said.pop("base", None)), base_statistics=at(said.pop("base_statistics", None)), hyper=said, **known,
    ), output  # fmt: skip
