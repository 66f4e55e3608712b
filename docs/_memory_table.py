"""The table of docs/memory.md, in counted bytes: ``python docs/_memory_table.py`` renews it, a test compares."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import piste
from piste.memory import Bytes, few_bit, measure, mxfp4
from piste.memory.measure import state_bytes
from piste.race.tasks.gpt import GPT

PAGE = Path(__file__).parent / "memory.md"
BEGIN, END = "<!-- bytes: made by docs/_memory_table.py -->", "<!-- end -->"
WORDS, WIDTH, BLOCKS, HEADS, CONTEXT, BATCH = 512, 256, 2, 4, 64, 8

Change = Callable[[nn.Module], Any]
Make = Callable[[nn.Module], Any]


def gpt() -> nn.Module:
    torch.manual_seed(0)
    return GPT(vocabulary=WORDS, width=WIDTH, blocks=BLOCKS, heads=HEADS, context=CONTEXT)


def checkpointed(model: Any) -> None:
    """Blocks that keep their input alone, and run again in backward."""
    for block in model.blocks:
        inner = block.forward
        block.forward = lambda *args, inner=inner: checkpoint(inner, *args, use_reentrant=False)


def in_bf16(model: nn.Module) -> None:
    model.bfloat16()


def of(name: str, **how: Any) -> Make:
    return lambda model: piste.get(name, "optimizer").target(model, **how)


def taken(make: Make, change: Change = lambda model: None, release: bool = False) -> Bytes:
    """One step of the GPT, counted."""
    model = gpt()
    change(model)
    optimizer = make(model)
    tokens = torch.randint(WORDS, (BATCH, CONTEXT + 1), generator=torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        logits = model(tokens[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    with piste.release_gradients(optimizer) if release else nullcontext():
        return measure(model, optimizer, loss)


def composed() -> dict[str, Bytes]:
    """What surrounds an optimizer, each beside AdamW, and some together."""
    adamw = of("AdamW")
    light = of("AdamW", storage={"param": "bf16_stochastic", "moment": "int8", "square": "int8"})

    def small(model: nn.Module) -> None:
        few_bit(model.bfloat16(), bits=3)

    return {
        'AdamW, `storage="bf16"`': taken(of("AdamW", storage="bf16")),
        'AdamW, `storage="8bit"`': taken(of("AdamW", storage="8bit")),
        'AdamW, `storage="4bit"`': taken(of("AdamW", storage="4bit")),
        'Muon, `storage="8bit"`': taken(of("Muon", storage="8bit")),
        "AdamW, gradients released": taken(adamw, release=True),
        "AdamW, few-bit activations, 3 bits": taken(adamw, lambda m: few_bit(m, bits=3)),
        "AdamW, few-bit activations, 1 bit": taken(adamw, lambda m: few_bit(m, bits=1)),
        "AdamW, blocks checkpointed": taken(adamw, checkpointed),
        "AdamW, MXFP4 (emulated: its operands are kept wide)": taken(adamw, mxfp4),
        "AdamW, bf16 weights, error bits": taken(of("AdamW", storage={"param": "bf16_error_bits"}), in_bf16),
        "AdamW, bf16 weights, 8-bit state": taken(light, in_bf16),
        "AdamW, bf16 weights, 8-bit state, 3-bit activations, released": taken(light, small, release=True),
    }


def plain(base: Bytes) -> dict[str, Bytes]:
    """Every registered optimizer that takes this model as it is; beside the state, all are alike."""
    found: dict[str, Bytes] = {}
    with torch.device("meta"):  # where a state of a number for each pair of weights takes no memory
        model = gpt()
    for entry in piste.registry("optimizer"):
        if not entry.module.startswith("piste."):
            continue
        try:
            made = entry.target(model)
        except (TypeError, ValueError):  # it wants more than a model, or layers of other kinds
            continue
        found[entry.name] = replace(base, state=state_bytes(made))
    return found


def rows() -> Mapping[str, Bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plain(taken(of("AdamW"))) | composed()


def table() -> str:
    """Everything, the least bytes first."""
    found = rows()
    usual = found["AdamW"].total
    head = ("method", "weights", "state", "gradients", "saved", "all", "of AdamW's")
    lines = [head, ("---", *["---:"] * (len(head) - 1))]
    for name, seen in sorted(found.items(), key=lambda pair: (pair[1].total, pair[0].lower())):
        kept = (seen.weights + seen.buffers, seen.state, seen.gradients, seen.saved, seen.total)
        lines.append((name, *(f"{n:,}" for n in kept), f"{seen.total / usual:,.0%}"))
    numbers = sum(p.numel() for p in gpt().parameters())
    said = f"{numbers:,} parameters, {BATCH} × {CONTEXT} tokens, bytes."
    return said + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def renewed(text: str) -> str:
    """The page with today's table between its marks."""
    before, mark, after = text.partition(BEGIN)
    if not mark or END not in after:
        raise ValueError(f"{PAGE.name} has lost its mark {BEGIN}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
