"""The routing table of an optimizer: every parameter once, with what happens to it and why."""

from __future__ import annotations

import torch
from torch import nn

import piste


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.hidden = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(self.frozen(self.embed(x))))


def test_every_parameter_stands_once_with_its_state() -> None:
    model = Tiny()
    opt = piste.Muon(model, lr=0.03)
    table = piste.explain(opt)
    names = [row["parameter"] for row in table.rows]
    assert sorted(names) == sorted(n for n, _ in model.named_parameters())
    rows = {row["parameter"]: row for row in table.rows}
    assert rows["hidden.weight"]["optimizer"] == "Muon" and rows["hidden.weight"]["lr"] == 0.03
    assert {rows[n]["optimizer"] for n in ("embed.weight", "head.weight", "hidden.bias")} == {"AdamW"}
    assert rows["embed.weight"]["bytes"] == 2 * 11 * 8 * 4 and rows["hidden.weight"]["bytes"] == 8 * 8 * 4
    assert rows["frozen.weight"]["bytes"] == 0 and "frozen" in rows["frozen.weight"]["reason"]
    assert sum(row["bytes"] for row in table.rows) == opt.forecast_bytes() == opt.state_bytes()


def test_the_printed_table_names_chains_and_reasons() -> None:
    text = str(piste.explain(piste.Muon(Tiny())))
    assert "Muon: ema > orthogonalize" in text and "embedding" in text and "why" in text


def test_axes_beyond_a_preconditioners_bound_are_named() -> None:
    model = nn.Sequential(nn.Linear(200, 16, bias=False), nn.Linear(16, 16, bias=False))
    said = {
        name: str(piste.explain(getattr(piste, name)(model, max_precond_dim=100)))
        for name in ("Shampoo", "SOAP")
    }
    assert "0.weight: 200 columns are more than max_precond_dim=100, and have a diagonal" in said["Shampoo"]
    assert "0.weight: 200 columns are more than max_precond_dim=100, and stay as they are" in said["SOAP"]
    assert all(text.count("are more than") == 1 for text in said.values())
    assert "are more than" not in str(piste.explain(piste.SOAP(model)))


def test_bare_parameters_are_known_by_their_dimensions() -> None:
    rows = piste.explain(piste.AdamW(Tiny().parameters())).rows
    assert {row["role"] for row in rows} == {"hidden", "vector"}
