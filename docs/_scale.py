"""The tables of docs/scale.md, made by the cost model: ``python docs/_scale.py`` renews them, a test compares."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import nn

import piste
from piste.cost import Plan, plan

PAGE = Path(__file__).parent / "scale.md"
TESTS = Path(__file__).parent.parent / "tests"

# Llama 3.1 405B's proportions ("The Llama 3 Herd of Models", 2024, https://arxiv.org/abs/2407.21783, table 3), wider
WIDTH, KEYS, HIDDEN, LAYERS, VOCABULARY = 24_576, 1_536, 79_872, 138, 128_256
TOKENS = 16 * 2**20  # a step: that run's largest batch
MESHES = ("dp=10000", "replicate=10,dp=1000", "dp=1250,tp=8")
BLOCK = "(a m) (b n) -> (a b) m n | m=1536 n=1536"
# NVIDIA H100 SXM data sheet: dense bf16, HBM3; and one 400 Gb/s network port for each GPU, as in a DGX H100
FLOPS, MEMORY, NETWORK = 989e12, 3.35e12, 50e9


class Layer(nn.Module):
    """The matrices of a decoder layer; nothing runs through them here."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(WIDTH, KEYS, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.norm_1, self.norm_2 = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)


class Trillion(nn.Module):
    """A dense transformer of 10^12 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)


def optimizers(model: nn.Module) -> dict[str, piste.Optimizer]:
    """What is compared; second-order methods in square blocks, as one axis of 24,576 is too long for a factor."""
    blocks = {f"*.{name}.weight": BLOCK for name in ("query", "key", "value", "out", "gate", "up", "down")}
    return {
        "AdamW": piste.AdamW(model),
        "AdamW, 8 bits": piste.AdamW(model, storage="8bit"),
        "Muon": piste.Muon(model),
        "Muon, 8 bits": piste.Muon(model, storage="8bit"),
        "SOAP, blocks": piste.SOAP(model, overrides=blocks),
        "SOAP, blocks, 8 bits": piste.SOAP(model, overrides=blocks, storage="8bit"),
        "Shampoo, blocks, k=100": piste.Shampoo(
            model, overrides=blocks, precondition_frequency=100, max_precond_dim=1536
        ),
    }


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def checked() -> str:
    """The small model whose bytes are counted in tests/sharding/costs.py."""
    sys.path.insert(0, str(TESTS))
    from sharding.costs import Wide

    rows = []
    for name in ("AdamW", "LAMB", "Muon", "SOAP", "Shampoo"):
        with torch.device("meta"):
            opt = getattr(piste, name)(Wide())
        most = [plan(opt, mesh).largest for mesh in ("dp=2", "dp=3")]
        rows.append((name, *(f"{n:,.0f}" for c in most for n in (c.state_bytes, c.sent, c.model))))
    head = [f"{ranks}: {what}" for ranks in ("2 ranks", "3 ranks") for what in ("state", "sent", "by FSDP")]
    return table(("bytes, the busiest rank", *head), rows)


def trillion(model: nn.Module, compared: dict[str, piste.Optimizer], mesh: str) -> str:
    """Every optimizer on a mesh: the busiest rank."""
    rows = [(name, *_row(plan(opt, mesh), model)) for name, opt in compared.items()]
    head = ("state", "largest whole", "moved", "sent", "Pflop", "of the model's", "seconds, at least")
    return table((f"`--mesh {mesh}`", *head), rows)


def _row(planned: Plan, model: nn.Module) -> tuple[str, ...]:
    most = planned.largest
    numbers = sum(p.numel() for p in model.parameters())
    own = 6 * numbers * TOKENS / planned.mesh.size
    seconds = (most.flops / FLOPS, most.moved / MEMORY, most.sent / NETWORK)
    which = ("flops", "memory", "network")[seconds.index(max(seconds))]
    gb = [f"{n / 1e9:,.2f} GB" for n in (most.state_bytes, _whole(planned), most.moved, most.sent)]
    return (*gb, f"{most.flops / 1e15:,.2f}", f"{most.flops / own:.1%}", f"{max(seconds):,.2f} ({which})")


def _whole(planned: Plan) -> int:
    """Bytes of the largest update that a rank must have in one piece."""
    seen = [p for p in planned.parameters if any(stage.kind == "sheet" for stage in p.stages)]
    return max((p.numel * p.leaf.dtype.itemsize for p in seen), default=0)


def facts(model: Trillion) -> str:
    """The model itself, whichever optimizer it has."""
    numbers = sum(p.numel() for p in model.parameters())
    matrices = sum(p.dim() > 1 for p in model.layers.parameters())
    flops = 6 * numbers * TOKENS / 1e4
    rows = [
        ("parameters", f"{numbers:,}"),
        ("hidden matrices", f"{matrices:,}"),
        ("model flops a step and GPU, 6 N D", f"{flops / 1e15:.2f} Pflop"),
        ("seconds for them at 40 % of the data sheet", f"{flops / FLOPS / 0.4:.1f}"),
    ]
    cost = {mesh: plan(piste.SGD(model), mesh).largest for mesh in MESHES}
    rows += [
        (f"weights and gradients, {mesh}", f"{(c.weights + c.gradients) / 1e9:.2f} GB")
        for mesh, c in cost.items()
    ]
    rows += [(f"sent by FSDP for the model, {mesh}", f"{c.model / 1e9:,.0f} GB") for mesh, c in cost.items()]
    return table(("of the model", ""), rows)


def tables() -> dict[str, str]:
    """By the name of their mark in the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            model = Trillion().to(torch.bfloat16)
        compared = optimizers(model)
        planned = {f"on {mesh}": trillion(model, compared, mesh) for mesh in MESHES}
        return {"checked": checked(), "facts": facts(model), **planned}


def renewed(text: str) -> str:
    """The page with today's tables between its marks."""
    end = "<!-- end -->"
    for name, made in tables().items():
        begin = f"<!-- {name}: made by docs/_scale.py -->"
        before, mark, after = text.partition(begin)
        if not mark or end not in after:
            raise ValueError(f"{PAGE.name} has lost its mark {begin}")
        text = f"{before}{begin}\n{made}\n{end}{after.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
