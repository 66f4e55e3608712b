"""The tables of docs/scale.md are what the cost model says today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch.distributed as dist

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_tables_are_up_to_date():
    spec = importlib.util.spec_from_file_location("_scale", DOCS / "_scale.py")
    scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scale)
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    assert scale.renewed(page) == page, "run python docs/_scale.py"
