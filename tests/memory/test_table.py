"""The table of docs/memory.md is what is counted today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_up_to_date():
    spec = importlib.util.spec_from_file_location("_memory_table", DOCS / "_memory_table.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / "memory.md").read_text(encoding="utf-8")
    assert made.renewed(page) == page, "run python docs/_memory_table.py"
