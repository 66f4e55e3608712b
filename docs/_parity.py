"""How far piste's optimizers are from others of the same name: renews the table in docs/switching.md.

    python docs/_parity.py [--authors NAME=FILE …]        (needs the extra `bench`; libraries not installed are left out)

``--authors Muon=…/muon.py SOAP=…/soap.py`` adds the authors' own files, which are on no registry.
Both sides get the same random gradients in float64, the same hyperparameters and the same start.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import piste

PAGE = Path(__file__).parent / "switching.md"
BEGIN, END = "<!-- parity -->", "<!-- end -->"
SIDE, STEPS = 24, 40
Make = Callable[..., Any]


def travel(make: Make, hyper: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end of a matrix's way under 40 random gradients."""
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(SIDE, SIDE, dtype=torch.float64))
    start = p.detach().clone()
    opt = make([p], **hyper)
    if hasattr(opt, "train"):
        opt.train()  # schedulefree's
    for _ in range(STEPS):
        p.grad = torch.randn(SIDE, SIDE, dtype=torch.float64)
        opt.step()
    return start, p.detach().clone()


def distance(ours: Make, theirs: Make, hyper: dict[str, Any]) -> float:
    """Largest difference at the end, as a part of the largest way travelled."""
    start, a = travel(ours, hyper)
    _, b = travel(theirs, hyper)
    return ((a - b).abs().max() / (b - start).abs().max()).item()


def module(name: str) -> Any:
    """An installed library, by name."""
    return importlib.import_module(name)


def heavyball(name: str) -> Make:
    """One of its classes, uncompiled: compiling is not what is compared."""

    def make(ps: Any, **kwargs: Any) -> Any:
        module("heavyball.utils").compile_mode = None
        return getattr(module("heavyball"), name)(ps, compile_step=False, storage_dtype="float64", **kwargs)

    return make


def loaded(path: str) -> Any:
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot read {path}")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def cases(authors: dict[str, str]) -> list[tuple[str, str, dict[str, Any], Make]]:
    """(name here, theirs, common hyperparameters, how to make theirs)."""
    t, wd = torch.optim, {"weight_decay": 0.1}
    adam = {"lr": 3e-3, "betas": (0.9, 0.99), "eps": 1e-8}
    lion = {"lr": 1e-3, "betas": (0.9, 0.99), **wd}
    muon = {"lr": 0.02, "momentum": 0.95, **wd}
    soap = {"lr": 3e-3, "betas": (0.95, 0.95), "precondition_frequency": 10, "weight_decay": 0.01}
    free = {**adam, **wd, "warmup_steps": 10}
    found: list[tuple[str, str, dict[str, Any], Make]] = [
        ("SGD", "torch", {"lr": 0.1, "momentum": 0.9, "nesterov": True, **wd}, t.SGD),
        ("Adam", "torch", {**adam, **wd}, t.Adam),
        ("AdamW", "torch", {**adam, **wd}, t.AdamW),
        ("AMSGrad", "torch", adam, lambda ps, **kw: t.Adam(ps, amsgrad=True, **kw)),
        ("AdaMax", "torch", adam, t.Adamax),
        ("RMSProp", "torch", {"lr": 3e-3, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9}, t.RMSprop),
        ("Adagrad", "torch", {"lr": 0.1, "eps": 1e-10}, t.Adagrad),
        ("Muon", "torch", muon, t.Muon),
        ("ScheduleFreeAdamW", "schedulefree", free, lambda ps, **kw: module("schedulefree").AdamWScheduleFree(ps, **kw)),
        ("ScheduleFreeSGD", "schedulefree", {"lr": 0.1, "momentum": 0.9, **wd, "warmup_steps": 10},
         lambda ps, **kw: module("schedulefree").SGDScheduleFree(ps, **kw)),
        ("Lion", "pytorch_optimizer", lion, lambda ps, **kw: module("pytorch_optimizer").Lion(ps, **kw)),
        ("Muon", "pytorch_optimizer", muon, lambda ps, **kw: module("pytorch_optimizer").Muon([{"params": ps, "use_muon": True, **kw}])),
        ("SOAP", "pytorch_optimizer", soap, lambda ps, **kw: module("pytorch_optimizer").SOAP(ps, **kw)),
        ("LAMB", "pytorch_optimizer", {**adam, **wd},
         lambda ps, **kw: module("pytorch_optimizer").Lamb(ps, max_grad_norm=0.0, **kw)),
        ("AdamW", "heavyball", {**adam, **wd}, heavyball("AdamW")),
        ("Muon", "heavyball", muon, lambda ps, momentum, **kw: heavyball("Muon")(ps, betas=(momentum, 0.99), **kw)),
        ("SOAP", "heavyball", soap, heavyball("SOAP")),
        ("ScheduleFreeAdamW", "heavyball", free, heavyball("SFAdamW")),
    ]  # fmt: skip
    if "Muon" in authors:
        found.append(
            (
                "Muon",
                "Keller Jordan's file",
                muon,
                lambda ps, **kw: loaded(authors["Muon"]).SingleDeviceMuon(ps, **kw),
            )
        )
    if "SOAP" in authors:
        found.append(
            ("SOAP", "the authors' file", soap, lambda ps, **kw: loaded(authors["SOAP"]).SOAP(ps, **kw))
        )
    return found


def table(authors: dict[str, str]) -> str:
    """The measured table in Markdown, one row per pair."""
    rows = ["| optimizer | beside | hyperparameters | distance |", "|---|---|---|---|"]
    for name, theirs, hyper, make in sorted(cases(authors), key=lambda c: c[0].lower()):
        ours = functools.partial(getattr(piste, name), compile=False)
        try:
            far = distance(ours, make, hyper)
        except ImportError as error:
            print(f"left out: {name} of {theirs}: {error}")
            continue
        version = metadata.version(theirs) if theirs.isidentifier() else ""
        given = ", ".join(f"{k}={v}" for k, v in hyper.items())
        rows.append(f"| `{name}` | {f'{theirs} {version}'.strip()} | {given} | {far:.1e} |")
    return "\n".join([*rows, "", f"Measured on {date.today()}, piste {metadata.version('piste')}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authors", nargs="*", default=[], metavar="NAME=FILE")
    given = dict(pair.split("=", 1) for pair in parser.parse_args().authors)
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)  # some make their statistics in the default dtype
    made = f"{BEGIN}\n{table(given)}\n{END}"
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: made, text, flags=re.S), encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
