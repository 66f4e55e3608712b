"""The page of the sweep is brought up to date row by row."""

from __future__ import annotations

import re

from sweep.conftest import BEGIN, END, ROOT, renewed
from tiny import OURS

PAGE = f"""# The sweep

{BEGIN}

| | all |
|---|---|
| `Beta` | old |
| `delta` | old |

{END}
"""


def test_rows_are_renewed_and_added_in_the_order_of_names():
    page = renewed(PAGE, {n: f"| `{n}` | new |" for n in ("Beta", "Gamma", "alpha")})
    rows = "| `alpha` | new |\n| `Beta` | new |\n| `delta` | old |\n| `Gamma` | new |"
    assert page == PAGE.replace("| `Beta` | old |\n| `delta` | old |", rows)


def test_nothing_new_leaves_the_page_as_it_was():
    assert renewed(PAGE, {}) == PAGE


def test_every_optimizer_has_a_row_and_keeps_all_its_promises():
    text = (ROOT / "docs" / "sweep.md").read_text().split(BEGIN)[1].split(END)[0]
    rows = dict(re.findall(r"^\| `(\w+)`¹? \|(.*)$", text, re.MULTILINE))
    assert set(rows) == {e.name for e in OURS}, "`PISTE_ONLY=… pytest -m full tests/sweep` adds rows"
    assert all(row.count("all 8") == 4 for row in rows.values())
