"""Every file of optimizers belongs to one family."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import piste
from piste.optimizers import families


def test_every_file_is_in_one_family():
    named = Counter(name for _, files in families.FAMILIES.values() for name in files.split())
    there = {p.stem for p in Path(families.__file__).parent.glob("*.py")} - {"__init__", "families"}
    assert set(named) == there
    assert set(named.values()) == {1}


def test_a_family_has_its_members_and_a_users_optimizer_is_its_own():
    assert {"AdamW", "Lion", "SGD"} <= set(families.members("adaptive"))
    assert "Muon" not in families.members("adaptive")
    mine = piste.Entry("Mine", "optimizer", test_every_file_is_in_one_family)
    assert families.family(mine) == "own"
    with pytest.raises(KeyError):
        families.members("nobody")
