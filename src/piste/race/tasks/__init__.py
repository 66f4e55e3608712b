"""The tasks that piste carries, and how a user's own are read. Importing this loads no data."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from ..._registry import register
from ..errors import RaceError, unknown
from ..task import Task
from .code import code_800_task, code_1600_task, code_large_task, code_task
from .digits import digits_ae_task, vit_digits_task
from .image import image_task
from .tabular import tabular_task

BUILTIN: dict[str, Callable[[], Task]] = {
    "code": code_task,
    "digits-ae": digits_ae_task,
    "code-large": code_large_task,
    "code-800": code_800_task,
    "code-1600": code_1600_task,
    "image": image_task,
    "vit-digits": vit_digits_task,
    "tabular": tabular_task,
}
DEFAULT = ("code", "digits-ae")
QUICK = ("digits-ae",)

for _name, _factory in BUILTIN.items():
    register("task", _name, _factory)


def find_task(name: str) -> Task:
    """A task that piste carries, by name; or the one a Python file defines, by path."""
    if name in BUILTIN:
        return BUILTIN[name]()
    if name.endswith(".py"):
        return from_file(Path(name))
    raise unknown("task", name, BUILTIN)


def from_file(path: Path) -> Task:
    """The `task` of a Python file such as examples/mytask.py.

    The file runs as a module of its own; what it registers on the way (an `@optimizer`, say) can race too.
    """
    if not path.is_file():
        raise RaceError(f"task file {str(path)!r} does not exist; give the path of a Python file")
    module_name = f"piste_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RaceError(f"task file {str(path)!r} raised {type(error).__name__}: {error}") from error
    found = getattr(module, "task", None)
    if not isinstance(found, Task):
        what = "defines no `task`" if found is None else f"defines `task` as {type(found).__name__}"
        raise RaceError(f"task file {str(path)!r} {what}; it must hold `task = piste.race.Task(...)`")
    if found.name in BUILTIN:
        raise RaceError(
            f"task file {str(path)!r} calls its task {found.name!r}, a name piste uses: choose another"
        )
    return found
