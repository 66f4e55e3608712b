"""A user's Python file: run it, find what it defines, and turn whatever goes wrong into one clear line."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import click

PYTHON_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@contextmanager
def explained(what: str, kinds: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Errors of these kinds end the command with one line instead of a traceback."""
    try:
        yield
    except click.ClickException:
        raise
    except kinds as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise click.ClickException(f"{what}{': ' if what else ''}{text}") from error


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Warnings become one line each on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(
        str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning)
    ):
        click.secho(f"warning: {text}", fg="yellow", err=True)


def load_file(path: Path) -> ModuleType:
    """The module of a Python file, run with its own folder importable, as `python FILE.py` would."""
    spec = importlib.util.spec_from_file_location(f"piste_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise click.ClickException(f"{path} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        where = f"{path}, line {line}" if line else str(path)
        raise click.ClickException(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def load_model(path: Path, meta: bool = False) -> Any:
    """The `torch.nn.Module` that a file names `model`, or that its `make_model()` returns. ``meta``: without memory for
    its weights, where the file can be run so."""
    import torch
    from torch import nn

    if meta:
        with contextlib.suppress(click.ClickException), torch.device("meta"):
            return load_model(path)
    module = load_file(path)
    model = getattr(module, "model", None)
    if not isinstance(model, nn.Module) and inspect.isfunction(getattr(module, "make_model", None)):
        with explained(f"{path}: make_model() failed"):
            model = module.make_model()
    if not isinstance(model, nn.Module):
        raise click.ClickException(
            f"{path} defines no model: give it `model = ...` or `def make_model(): ...` with a torch.nn.Module"
        )
    return model


def build(name: str, model: Any, path: Path, **engine: Any) -> Any:
    """An optimizer, by its registered name, over a model, with its defaults."""
    import piste

    with explained("", (KeyError,)):
        entry = piste.get(name, "optimizer")
    with explained(f"{entry.name} over the model of {path}"), warnings_as_lines():
        return entry.target(model, **engine)
