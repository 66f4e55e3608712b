"""What a preconditioner adds to a whole training step: forward, backward and the optimizer's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

import piste
from piste.race.tasks.code import VOCABULARY, next_token_loss
from piste.race.tasks.gpt import GPT

from .candidates import INTERVAL
from .timing import Times, in_turns, ratio

WIDTH, BLOCKS, CONTEXT, TOKENS = 128, 4, 256, 8192
# as in a race: a vocabulary is no axis to precondition
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "AdamW": ("AdamW", {"lr": 1e-3}),
    "SOAP": ("SOAP", {"lr": 1e-3, "precondition_frequency": INTERVAL, "max_precond_dim": 512}),
    "Shampoo": ("Shampoo", {"lr": 1e-3, "precondition_frequency": INTERVAL, "max_precond_dim": 512}),
    "Muon": ("Muon", {"lr": 0.02}),
}


def training(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of a training step of a GPT, mean over a refresh interval, and what each method adds to AdamW's: the time
    of its optimizer steps less that of AdamW's, over AdamW's whole step, from the same rounds."""
    batch = torch.randint(
        VOCABULARY, (TOKENS // CONTEXT, CONTEXT + 1), generator=torch.Generator().manual_seed(0)
    )
    models = {name: _model() for name in MADE}
    optimizers = {
        name: piste.get(which).target(models[name], **hyper) for name, (which, hyper) in MADE.items()
    }

    def slope(name: str) -> None:
        optimizers[name].zero_grad()
        next_token_loss(models[name], batch).backward()

    for name, optimizer in optimizers.items():
        say(f"training: warming up {name}")
        slope(name)
        for _ in range(INTERVAL + 2):
            optimizer.step()
    say(f"training: {rounds} rounds")
    runs: dict[str, Callable[[], object]] = {"forward and backward": lambda: slope("AdamW")}
    runs |= {name: functools.partial(_interval, optimizer) for name, optimizer in optimizers.items()}
    seconds = in_turns(runs, rounds)
    steps = {name: [s / INTERVAL for s in seconds[name]] for name in MADE}
    passes, base = seconds["forward and backward"], steps["AdamW"]
    whole = [a + b for a, b in zip(passes, base, strict=True)]
    added = {
        name: ratio([a - b for a, b in zip(steps[name], base, strict=True)], whole)
        for name in MADE
        if name != "AdamW"
    }
    return {
        "tokens": TOKENS,
        "parameters": sum(p.numel() for p in models["AdamW"].parameters()),
        "forward and backward": Times.of(passes).json(),
        "times": {name: Times.of(s).json() for name, s in steps.items()},
        "added": added,
    }  # fmt: skip


def _interval(optimizer: torch.optim.Optimizer) -> None:
    for _ in range(INTERVAL):
        optimizer.step()


def _model() -> GPT:
    torch.manual_seed(0)
    return GPT(vocabulary=VOCABULARY, width=WIDTH, blocks=BLOCKS, heads=4, context=CONTEXT)
