"""Merging: look at all tables first, then go through the tensors one by one, piece by piece where they allow it."""

from __future__ import annotations

import functools
import json
import math
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
from .streaming import ahead, cuts
from .sums import Seen
from .writing import Row, replacing, write, write_shards

OnTensor = Callable[[str, int, int], None]  # name, bytes done, bytes in all; after each piece


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

    def seen(self, name: str, cut: slice | None = None) -> Seen:
        dtype = wide(self.first.rows[name].dtype)
        read = [s.read(name, cut).to(dtype) for s in self.models]
        base = None if self.base is None else self.base.read(name, cut).to(dtype)
        return Seen(name, read, base, [self._known(s, name, cut).to(dtype) for s in self.statistics])

    def _known(self, statistics: Source, name: str, cut: slice | None) -> Tensor:
        """Of what is not trained nothing is known: 0."""
        if name in statistics.rows:
            return statistics.read(name, cut)
        return torch.zeros(self.first.rows[name].shape if cut is None else cut.stop - cut.start)

    @functools.cached_property
    def _of_models(self) -> dict[int, dict[str, Any]]:
        """By rule, what its method must know of whole models: measured over the tensors that the rule merges."""
        rules = {id(s.rule): s.rule for s in self.steps if s.rule.method is not None and not s.rule.by_tensor}
        return {
            key: self._measured(rule, [s for s in self.steps if s.rule is rule])
            for key, rule in rules.items()
        }

    def _measured(self, rule: Rule, steps: Sequence[Step]) -> dict[str, Any]:
        assert rule.method is not None

        def walk() -> Iterator[Seen]:
            return ahead(self.seen(s.name, cut) for s in steps for cut in cuts(math.prod(s.row.shape)))

        return {k: f(walk, rule.hyper) for k, f in rule.method.sums.items()}

    def _asked(self) -> Iterator[tuple[Step, slice | None, Any]]:
        """What the result is made of, in its order: steps, pieces of them, and all that is read for each."""
        for step in self.steps:
            whole = step.rule.method is not None and not step.rule.method.elementwise
            for cut in [None] if whole else cuts(math.prod(step.row.shape)):
                keep = step.rule.method is None
                yield step, cut, self.first.read(step.name, cut) if keep else self.seen(step.name, cut)

    def _given(self, step: Step) -> dict[str, Any]:
        """What is one and the same for all pieces of a tensor."""
        method = step.rule.method
        if method is None:
            return {}
        drawn = torch.Generator().manual_seed(zlib.crc32(f"{self.recipe.seed}/{step.name}".encode()))
        sums = self._measured(step.rule, [step]) if step.rule.by_tensor else self._of_models[id(step.rule)]
        return {"weights": self.recipe.weights_for(method), "generator": drawn, **step.rule.hyper, **sums}

    def _made(self, step: Step, cut: slice | None, seen: Seen, given: Mapping[str, Any]) -> Tensor:
        """Errors: ValueError where the models hold numbers that are not finite."""
        method = step.rule.method
        assert method is not None
        tensors = {"tensors": seen.tensors, "base": seen.base, "statistics": seen.statistics}
        if self.base_statistics is not None and "base_statistics" in method.asks:
            known = self._known(self.base_statistics, step.name, cut)
            tensors["base_statistics"] = known.to(seen.tensors[0])
        all_given = {**given, **tensors}
        out = method.fn(**{a: all_given[a] for a in method.asks if a in all_given})
        # the sum is one pass and finite unless something is not, or nearly overflows
        if not bool(out.sum().isfinite()) and not bool(out.isfinite().all()):
            where = [s.name for s in self._all() if not bool(s.read(step.name).isfinite().all())]
            raise ValueError(
                f"{step.name}: the result is not finite; "
                + (f"{', '.join(where)} is not" if where else "the models are")
            )
        return out

    def pieces(self, on_tensor: OnTensor | None = None) -> Iterator[tuple[str, Tensor]]:
        """The result, in pieces that follow each other: names and vectors, or whole tensors of methods that see them
        whole."""
        last, done, given = None, 0, {}
        for step, cut, read in ahead(self._asked()):
            if step is not last:
                last, given = step, self._given(step)
            out = read if step.rule.method is None else self._made(step, cut, read, given)
            out = out.to(step.row.dtype)
            del read
            yield step.name, out
            done += out.numel() * step.row.dtype.itemsize
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
            made = {s.name: torch.empty(s.row.shape, dtype=s.row.dtype) for s in self.steps}
            at = dict.fromkeys(made, 0)
            for name, piece in ahead(self.pieces(on_tensor)):
                made[name].view(-1)[at[name] : at[name] + piece.numel()] = piece.reshape(-1)
                at[name] += piece.numel()
            for first, *others in self.first.ties:
                made.update({n: made[first] for n in others if n in made and first in made})
            return made
        out = Path(out)
        rows, metadata = {s.name: s.row for s in self.steps}, self.metadata
        with replacing(out, overwrite) as part:
            if out.suffix == ".safetensors":
                write(part, rows, ahead(self.pieces(on_tensor)), metadata)
            elif out.suffix in (".bin", ".pt", ".pth"):
                torch.save(self.run(on_tensor=on_tensor), part)
            else:
                write_shards(part, rows, ahead(self.pieces(on_tensor)), metadata, shard_bytes or 5 * 10**9)
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
