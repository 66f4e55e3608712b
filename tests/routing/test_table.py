from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from piste._routing import MATRIX_ROLES, ROLES, MatrixView, explain_rows, render, route
from piste._routing.table import fold
from routing import models


@pytest.fixture
def rows():
    assignments = route(models.GPT(depth=12), matrix=True)
    return explain_rows(
        assignments,
        chain=lambda a: "Muon" if a.to == "main" else "AdamW",
        lr=lambda a: 0.02 if a.to == "main" else 3e-4,
        nbytes=lambda a: 4 * a.parameter.numel() * (1 if a.to == "main" else 2),
    )


def test_rows_are_plain_data(rows):
    assert json.loads(json.dumps(rows))[0]["parameter"] == "wte.weight"
    keys = ["parameter", "shape", "role", "view", "chain", "lr", "bytes", "reason"]
    assert all(list(row) == keys for row in rows)
    assert len(rows) == len(list(models.GPT(depth=12).parameters()))


def test_rows_tell_views_of_matrices_only(rows):
    by_name = {row["parameter"]: row for row in rows}
    assert by_name["blocks.3.attn.qkv.weight"]["view"] == "(three o) i -> three o i | three=3"
    assert by_name["blocks.3.attn.proj.weight"]["view"] == "m n -> m n"
    assert by_name["norm.weight"]["view"] is None
    assert by_name["wte.weight"]["view"] is None


def test_folding_loses_nothing(rows):
    folded = fold(rows)
    assert sum(row["count"] for row in folded) == len(rows)
    assert sum(row["bytes"] for row in folded) == sum(row["bytes"] for row in rows)
    assert "blocks.{0-11}.attn.qkv.weight" in [row["parameter"] for row in folded]
    assert len(folded) == 3 + 9


def test_what_differs_is_not_folded(rows):
    rows[5] = {**rows[5], "lr": 1.0}
    name = rows[5]["parameter"]
    folded = {row["parameter"]: row["count"] for row in fold(rows)}
    assert folded[name] == 1
    assert folded[name.replace(".0.", ".{1-11}.")] == 11


def test_gaps_are_told(rows):
    kept = [row for row in rows if ".4." not in row["parameter"]]
    assert "blocks.{0-3,5-11}.mlp.fc1.weight" in [row["parameter"] for row in fold(kept)]


def test_the_text_is_aligned_and_totalled(rows):
    head, rule, *body, total = render(rows).split("\n")
    assert len(rule) == len(head)
    assert head.split() == ["parameter", "shape", "role", "view", "chain", "lr", "state", "why"]
    for column in ("shape", "role", "chain", "why"):
        assert all(line[head.index(column) - 1] == " " != line[head.index(column)] for line in body)
    assert any(line.startswith("blocks.{0-11}.mlp.fc1.weight ×12") for line in body)
    assert total.startswith(f"{len(rows)} parameters, ")
    assert total.endswith("of state")


def test_empty_columns_are_left_out_and_frozen_ones_marked():
    model = models.mlp()
    model[0].requires_grad_(False)
    text = render(explain_rows(route(model, matrix=True)))
    assert "state" not in text
    assert "lr" not in text.split("\n")[0].split()
    assert sum("frozen; " in line for line in text.split("\n")) == 2
    assert render([]) == "no parameters"


def test_the_documented_roles_are_the_roles():
    page = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `(\w+)` \| (.*) \| (yes|no) \|$", page, re.MULTILINE)
    assert {kind: meaning for kind, meaning, _ in lines} == ROLES
    assert {kind for kind, _, answer in lines if answer == "yes"} == MATRIX_ROLES


def test_the_documented_views_are_views():
    page = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
    views = re.findall(r"`([^`]*->[^`]*)` \|$", page, re.MULTILINE)
    assert len(views) == 9
    for view in views:
        text = view.replace("\\|", "|")
        assert str(MatrixView.parse(text)) == text
