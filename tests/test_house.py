"""The rules of the house, on the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import piste

SOURCE = Path(piste.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Absolute names of all modules a file imports, relative ones as piste's."""
    found: set[str] = set()
    package = ["piste", *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found.add(".".join([*base, *([node.module] if node.module else [])]))
    return found


def names(path: Path) -> set[str]:
    return {ast.unparse(n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350, "find the seam and split it"


def test_only_one_file_names_the_compiler_and_one_package_torch_distributed() -> None:
    compiler = {p.name for p in FILES if any("_inductor" in i or "make_fx" in i for i in imports(p))}
    compiler |= {p.name for p in FILES if "torch.compile" in names(p)}
    assert compiler == {"_compile.py"}
    distributed = {p.parent.name for p in FILES if any(i.startswith("torch.distributed") for i in imports(p))}
    assert distributed <= {"_sharding"}


@pytest.mark.parametrize("path", sorted((SOURCE / "transforms").glob("*.py")), ids=lambda p: p.name)
def test_transforms_import_only_torch_and_linalg(path: Path) -> None:
    ours = (
        "piste._transform",
        "piste.linalg",
        "piste.transforms",
        "__future__",
        "collections",
        "math",
        "typing",
        "torch",
    )
    assert not [i for i in imports(path) if not i.startswith(ours)]


def test_nothing_is_subclassed_but_what_torch_and_typing_ask_for() -> None:
    allowed = {"Protocol[P]", "Protocol", "Generic[V]", "NamedTuple", "nn.Module", "torch.optim.Optimizer"}
    allowed |= {"LRScheduler", "Callback", "TrainerCallback"}  # what trainers recognise by their own class
    allowed |= {"torch.autograd.Function"}  # torch has no other way to give an operation its rule for vmap
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            for base in node.bases if isinstance(node, ast.ClassDef) else []:
                text = ast.unparse(base)
                assert text in allowed or text.endswith(("Error", "Warning", "Exception")), (
                    f"{path.name}: {text}"
                )


def test_an_algorithm_is_written_once() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert not node.name.endswith(("_single", "_multi", "_foreach")), f"{path.name}: {node.name}"


def test_the_import_brings_neither_the_compiler_nor_dtensor_nor_the_race() -> None:
    code = (
        "import torch, sys; before = set(sys.modules); import piste; new = set(sys.modules) - before; "
        "heavy = ('torch._dynamo', 'torch._inductor', 'torch.distributed.tensor', 'optuna', 'matplotlib', 'rich', "
        "'click', 'sklearn', 'scipy'); print([m for m in new if m.startswith(heavy)])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_registered_thing_says_what_it_is_and_where_from() -> None:
    for entry in piste.registry():
        if entry.module.startswith("piste."):
            assert entry.summary, f"{entry.name} has no docstring"
    for entry in piste.registry("optimizer"):
        if entry.module.startswith("piste."):
            assert entry.paper, f"{entry.name} names no paper"
