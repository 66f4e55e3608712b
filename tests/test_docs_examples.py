"""Every Python block of the README and the docs runs, and so do the tutorial's cells."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("no_trace")
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)")
PICTURES = {"barrier.svg", "branches.svg", "path.svg", "schedules.svg", "weights.svg"}  # by docs/_pictures.py
MADE = {"evidence.md", "index.md", "optimizers.md", "tutorial.md", *PICTURES}  # by docs/_generate.py


def blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [(text[: m.start(1)].count("\n"), m[1]) for m in BLOCK.finditer(text)]


def run(code: list[tuple[int, str]], name: str) -> None:
    """Run each block with its own lines in the traceback, in one namespace."""
    space: dict[str, object] = {"__name__": "__docs__"}
    for line, source in code:
        exec(compile("\n" * line + source, name, "exec"), space)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, no_trace):
    monkeypatch.chdir(tmp_path)  # examples may write files
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page):
    run(blocks(page), str(page))


def test_tutorial_runs():
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    run([(0, source) for source in code], "tutorial.ipynb")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        found = (page.parent / target).exists() or os.path.basename(target) in MADE
        assert found, f"{page.name} links to {target}, which is not there"


def test_readme_table_names_what_exists():
    import piste

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert listed, "the README has lost its table: run python docs/_generate.py"
    assert set(listed) <= {e.name for e in piste.registry("optimizer")}
