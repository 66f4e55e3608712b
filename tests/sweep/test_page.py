"""The page of the sweep is brought up to date row by row."""

from __future__ import annotations

from sweep.conftest import BEGIN, END, renewed

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
