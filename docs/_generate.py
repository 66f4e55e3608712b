"""The pages that are made, not written: the home page from the README, the tables from the registry, the tutorial
from its notebook, run anew. mkdocs calls the hooks; ``python docs/_generate.py`` renews the table in the README.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import piste
from piste.optimizers.families import FAMILIES, family

sys.path.insert(0, str(Path(__file__).parent))
import _evidence
import _pictures

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- optimizers: made by docs/_generate.py -->", "<!-- end -->"
KINDS = {
    "optimizer": "What `piste.NAME(model)` gives. *Needs*: what a bare call and `opt.step()` lack.",
    "transform": "The parts of a chain: pure functions of one tensor.",
    "oracle": "Where the slope comes from, when it is not simply `p.grad`.",
    "search": "How far to go, when it is not simply `lr`.",
    "view": "Which weights to look at, with `opt.averaged(model)`.",
    "schedule": "Pure functions of the step, for any number that moves.",
    "average": "Averages that need more than the optimizer sees: `piste.averaging`.",
    "merge": "One model from several: `piste.merging`, and `piste merge`.",
    "memory": "What surrounds an optimizer where memory is short: `piste.memory`.",
    "batch": "How large a batch should be: `piste.batches`.",
    "rate": "How large a learning rate may be: `piste.rates`.",
    "task": "What `piste race` trains.",
    "problem": "What claims are tried on, with all that is known of it: `piste.evidence.problems`.",
}
PLURALS = {"search": "searches", "batch": "batches", "memory": "memory"}
COLUMNS = {
    "optimizer": ("paper", "needs", "evidence"),
    "transform": ("what it does", "paper", "evidence"),
    "problem": ("what it does",),
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def table(
    kind: str, columns: tuple[str, ...], kept: Callable[[piste.Entry], bool] = lambda entry: True
) -> str:
    """A Markdown table of everything registered of that kind, or of what is ``kept`` of it."""
    rows = ["| " + " | ".join(["name", *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for entry in filter(kept, piste.registry(kind)):
        cells = {
            "what it does": entry.summary,
            "paper": "; ".join(entry.paper) or "–",
            "needs": ", ".join(entry.needs) or "–",
            "evidence": _evidence.link(entry.name),
        }
        rows.append("| " + " | ".join([f"`{entry.name}`", *(_cell(cells[c]) for c in columns)]) + " |")
    return "\n".join(rows)


def optimizers_page() -> str:
    """Every kind of thing that is registered, each with its table."""
    parts = ["# Everything there is\n\nMade from the registry, which `piste list` prints as well."]
    for kind, text in KINDS.items():
        if kind == "optimizer":
            parts += [f"## Optimizers\n\n{text}", *_families(COLUMNS[kind])]
        elif piste.registry(kind):
            columns = COLUMNS.get(kind, ("what it does", "paper"))
            heading = PLURALS.get(kind, f"{kind}s").capitalize()
            parts.append(f"## {heading}\n\n{text}\n\n{table(kind, columns)}")
    return "\n\n".join(parts) + "\n"


def _families(columns: tuple[str, ...]) -> Iterator[str]:
    """The optimizers, a table for each family."""
    for name, (text, _) in FAMILIES.items():
        yield f"### {name}\n\n{text}\n\n{table('optimizer', columns, lambda e, name=name: family(e) == name)}"


def renew_readme() -> None:
    """Put today's table of optimizers between the README's two marks."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    made = f"{BEGIN}\n{table('optimizer', ('paper', 'needs'))}\n{END}"
    path.write_text(
        re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, text, flags=re.S), encoding="utf-8"
    )


def home_page() -> str:
    """The README, its links seen from inside docs/."""
    return (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")


def tutorial_page() -> tuple[str, dict[str, bytes]]:
    """The notebook, run now, as Markdown with its pictures."""
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    ExecutePreprocessor(timeout=300, kernel_name="python3").preprocess(
        notebook, {"metadata": {"path": str(ROOT)}}
    )
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    return text, resources["outputs"]


def on_page_content(html: str, **_: Any) -> str:
    """The names that docstrings cross-refer to, without the role that only Sphinx would read."""
    return re.sub(r":(?:attr|class|func|meth|mod):(?=<code)", "", html)


def on_files(files: Any, config: Any) -> Any:
    """mkdocs' hook: add the made pages to those on disk."""
    from mkdocs.structure.files import File

    tutorial, pictures = tutorial_page()
    made = {"index.md": home_page(), "optimizers.md": optimizers_page(), "tutorial.md": tutorial, **pictures}
    made |= _evidence.pages() | _pictures.pages()
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


if __name__ == "__main__":
    renew_readme()
