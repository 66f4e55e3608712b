"""Merging: look at all tables first, then go through the tensors one by one."""

from __future__ import annotations

import functools
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .files import companions
from .fitting import check, short, wide
from .recipe import DTYPES, Recipe, Rule
from .sources import Source, source
from .sums import Seen
from .writing import Row, replacing, write, write_shards

OnTensor = Callable[[str, int, int], None]  # name, bytes done, bytes in all


@dataclass(frozen=True)
class Step:
    """What happens to one tensor."""

    name: str
    row: Row
    rule: Rule
    why: str = ""

    @property
    def action(self) -> str:
        return self.rule.method.name if self.rule.method else "keep"


class Merge:
    """A recipe whose models were found to fit. ``steps`` is the plan; nothing has been read but tables.

    Errors: :class:`Mismatch`; what :class:`piste.merging.Checkpoint` raises.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.models = [source(m, f"model {i}") for i, m in enumerate(recipe.models)]
        self.base = None if recipe.base is None else source(recipe.base, "the base")
        self.statistics = [source(s, f"statistics {i}") for i, s in enumerate(recipe.statistics or ())]
        self.base_statistics = (
            None
            if recipe.base_statistics is None
            else source(recipe.base_statistics, "the base's statistics")
        )
        self.first = self.base or self.models[0]
        rules = {name: recipe.rule_for(name) for name in {n for s in self._all() for n in s.rows}}
        measured = [*self.statistics, *([self.base_statistics] if self.base_statistics else [])]
        merged = {n for n, r in rules.items() if r is not None and r.method is not None}
        check(self._all(), measured, merged, recipe.dtype is not None)
        self.steps = self._steps(rules)

    def _all(self) -> list[Source]:
        return [*([self.base] if self.base else []), *self.models]

    def _steps(self, rules: Mapping[str, Rule | None]) -> list[Step]:
        steps = []
        second = {name for names in self.first.ties for name in names[1:]}
        for name, row in self.first.rows.items():
            rule = rules[name]
            if rule is None:
                continue
            why = ""
            if rule.method is not None and not row.dtype.is_floating_point:
                rule, why = Rule(None, {}), f"{short(row.dtype)} is not averaged"
            elif name in second:
                why = "tied"
            dtype = (
                DTYPES[self.recipe.dtype] if self.recipe.dtype and row.dtype.is_floating_point else row.dtype
            )
            steps.append(Step(name, Row(row.shape, dtype), rule, why))
        return sorted(steps, key=lambda s: -s.row.dtype.itemsize)

    @property
    def bytes(self) -> int:
        return sum(s.row.bytes for s in self.steps)

    def seen(self, name: str) -> Seen:
        dtype = wide(self.first.rows[name].dtype)
        read = [s.read(name).to(dtype) for s in self.models]
        base = None if self.base is None else self.base.read(name).to(dtype)
        return Seen(name, read, base, [self._known(s, name).to(dtype) for s in self.statistics])

    def _known(self, statistics: Source, name: str) -> Tensor:
        """Of what is not trained nothing is known: 0."""
        found = name in statistics.rows
        return statistics.read(name) if found else torch.zeros(self.first.rows[name].shape)

    @functools.cached_property
    def sums(self) -> dict[int, dict[str, Any]]:
        """By rule, what its method must know of whole models: measured over the tensors that the rule merges."""
        found: dict[int, dict[str, Any]] = {}
        for step in self.steps:
            key = id(step.rule)
            if step.rule.method is None or key in found:
                continue
            names = [s.name for s in self.steps if s.rule is step.rule]

            def walk(names: list[str] = names) -> Iterator[Seen]:
                return map(self.seen, names)

            found[key] = {k: f(walk, step.rule.hyper) for k, f in step.rule.method.sums.items()}
        return found

    def tensor(self, step: Step) -> Tensor:
        """One tensor of the result. Errors: ValueError where the models hold numbers that are not finite."""
        if step.rule.method is None:
            return self.first.read(step.name).to(step.row.dtype)
        method, seen = step.rule.method, self.seen(step.name)
        given: dict[str, Any] = {
            "tensors": seen.tensors,
            "base": seen.base,
            "weights": self.recipe.weights_for(method),
            "statistics": seen.statistics,
            "generator": torch.Generator().manual_seed(
                zlib.crc32(f"{self.recipe.seed}/{step.name}".encode())
            ),
            **step.rule.hyper,
            **self.sums[id(step.rule)],
        }
        if self.base_statistics is not None and "base_statistics" in method.asks:
            given["base_statistics"] = self._known(self.base_statistics, step.name).to(seen.tensors[0])
        out = method.fn(**{a: given[a] for a in method.asks if a in given})
        if not bool(torch.isfinite(out).all()):
            where = [s.name for s in self._all() if not bool(torch.isfinite(s.read(step.name)).all())]
            raise ValueError(
                f"{step.name}: the result is not finite; "
                + (f"{', '.join(where)} is not" if where else "the models are")
            )
        return out.to(step.row.dtype)

    def tensors(self, on_tensor: OnTensor | None = None) -> Iterator[Tensor]:
        done = 0
        for step in self.steps:
            yield self.tensor(step)
            done += step.row.bytes
            if on_tensor is not None:
                on_tensor(step.name, done, self.bytes)

    def run(
        self, out: str | Path | None = None, overwrite: bool = False, shard_bytes: int | None = None,
        on_tensor: OnTensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Write the result to ``out``: a file that ends in .safetensors, .bin, .pt or .pth, or else a folder of shards
        of at most ``shard_bytes`` (5 GB), with what lies beside the weights in the folder of the base or else of the
        first model (configuration, tokenizer). Without ``out`` the state dict is returned, tied names sharing
        memory."""
        if out is None:
            made = dict(zip((s.name for s in self.steps), self.tensors(on_tensor), strict=True))
            for first, *others in self.first.ties:
                made.update({n: made[first] for n in others if n in made and first in made})
            return made
        out = Path(out)
        rows, metadata = {s.name: s.row for s in self.steps}, self.metadata
        with replacing(out, overwrite) as part:
            if out.suffix == ".safetensors":
                write(part, rows, self.tensors(on_tensor), metadata)
            elif out.suffix in (".bin", ".pt", ".pth"):
                torch.save(self.run(on_tensor=on_tensor), part)
            else:
                write_shards(part, rows, self.tensors(on_tensor), metadata, shard_bytes or 5 * 10**9)
                for beside in companions(self.first):
                    shutil.copy2(beside, part)
        return {}

    @property
    def metadata(self) -> dict[str, str]:
        r = self.recipe
        method = r.method if isinstance(r.method, str) else r.method.__name__
        said = {"method": method, **r.hyper, "weights": r.weights, "models": [m.name for m in self.models]}
        return {"format": "pt", "merged": json.dumps(said, default=str)}


def merge(
    method: str | Callable[..., Tensor], models: Sequence[Any], out: str | Path | None = None, *,
    overwrite: bool = False, shard_bytes: int | None = None, on_tensor: OnTensor | None = None,
    base: Any = None, weights: Sequence[float] | None = None, statistics: Sequence[Any] | None = None,
    base_statistics: Any = None, tensors: Mapping[str, Mapping[str, Any]] | None = None, dtype: str | None = None,
    normalize: bool = False, seed: int = 0, **hyper: Any,
) -> dict[str, Tensor]:  # fmt: skip
    """Merge models: see :class:`piste.merging.Recipe` for what can be said, :meth:`Merge.run` for where it goes.

        merged = piste.merging.merge("soup", [a, b, c])                      # modules or state dicts
        piste.merging.merge("ties", ["a.safetensors", "b.safetensors"], "merged.safetensors", base="base.safetensors")

    Errors: ValueError, :class:`Mismatch`, :class:`Unreadable`, FileExistsError, each before anything is written.
    """
    recipe = Recipe(
        method,
        models,
        base,
        weights,
        statistics,
        base_statistics,
        hyper,
        tensors or {},
        dtype,
        normalize,
        seed,
    )
    return Merge(recipe).run(out, overwrite, shard_bytes, on_tensor)
