"""The measurements, one function per question. Each returns plain data for the results file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import torch

import piste
from piste import cost
from piste.linalg import newton_schulz, newton_schulz_rescaled, product_dtype

from . import fresh, machine
from .candidates import INTERVAL, Candidate, candidates, named
from .timing import Times, in_turns, ratio
from .workloads import Tensors

Say = Callable[[str], None]
WARM = 5
TOGETHER = 14  # optimizers whose state is in memory at once
PATIENCE = (
    40.0  # seconds that one candidate may take of a workload: Muon in bf16 on a CPU without it takes all day
)


def steps(who: list[Candidate], workload: str, rounds: int, say: Say, repeat: int = 1) -> dict[str, Any]:
    """Step times of candidates over one workload, in turns."""
    return _steps(who, workload, rounds, say, repeat, {})[0]


def hidden(who: list[Candidate], rounds: int, say: Say) -> dict[str, Any]:
    """As :func:`steps` over the hidden matrices, with products of their shapes timed in the same rounds."""
    products = machine.products()
    found, seconds = _steps(who, "hidden", rounds, say, 1, dict(products))
    rates = [{k: p.flops / seconds[k][i] for k, p in products.items()} for i in range(rounds)]
    found["rates"] = {k: p.flops / Times.of(seconds[k]).median for k, p in products.items()}
    found["dtype"] = str(product_dtype("cpu")).removeprefix("torch.")
    found["bound"] = machine.muon_bound(found["rates"])
    if "Muon · piste" in seconds:
        bounds = [machine.muon_bound(r)["seconds"] for r in rates]
        found["bound"]["ratio"] = ratio(seconds["Muon · piste"], bounds)
        found["turbo"] = {**ratio(seconds["Muon · piste turbo"], seconds["Muon · piste"]), **orthogonality()}
    return found


def orthogonality() -> dict[str, float]:
    """The mean of ‖XXᵀ - I‖ / √m of what Muon and Turbo-Muon make of the gradients of the hidden matrices."""
    grads = Tensors("hidden").grads
    return {
        name: sum(_far(rule(g)) for g in grads) / len(grads)
        for name, rule in {"usual": newton_schulz, "rescaled": newton_schulz_rescaled}.items()
    }


def _far(x: torch.Tensor) -> float:
    short = x if x.shape[0] <= x.shape[1] else x.mT
    eye = torch.eye(short.shape[0])
    return float((short @ short.mT - eye).norm() / short.shape[0] ** 0.5)


def elements(rounds: int, say: Say) -> dict[str, Any]:
    """Every rule that sees single elements, over the time that the bytes it must move take at the bandwidth that the
    triad reaches in the same rounds; some at a time, for memory."""
    tensors, names = Tensors("gpt"), element_rules()
    found: dict[str, Any] = {}
    for i in range(0, len(names), TOGETHER):
        found.update(_elements(tensors, names[i : i + TOGETHER], rounds, say))
    return found


def _elements(tensors: Tensors, names: list[str], rounds: int, say: Say) -> dict[str, Any]:
    runs, moved = {}, {}
    for name in names:
        say(f"elements: warming up {name}")
        optimizer = named(f"{name} · piste").make(tensors)
        for _ in range(WARM):
            tensors.give()
            optimizer.step()
        runs[name] = optimizer.step
        moved[name] = cost.plan(optimizer, "dp=1").total.moved
    say(f"elements: {rounds} rounds of {len(runs)} optimizers")
    seconds = in_turns({**runs, "triad": machine.triad()}, rounds, before=tensors.give)
    bounds = {name: [moved[name] / machine.TRIAD * t for t in seconds["triad"]] for name in runs}
    return {
        name: {"moved": moved[name], **Times.of(seconds[name]).json(), **ratio(seconds[name], bounds[name])}
        for name in runs
    }


def sizes() -> dict[str, float]:
    """Bytes per parameter of the GPT-like list."""
    tensors = Tensors("gpt")
    count = sum(p.numel() for p in tensors.params)
    small = piste.AdamW(tensors.params, storage="8bit").state_bytes() / count
    params = [torch.nn.Parameter(p.detach().bfloat16()) for p in tensors.params]
    storage = {"param": "bf16_error_bits", "moment": "int8", "square": "int8"}
    return {
        "state in 8 bits": small,
        "in all": 2 + piste.AdamW(params, storage=storage).state_bytes() / count,
        "4-bit factors": _factors() / _factors(basis="fp32", factor="fp32"),
    }


def _factors(**storage: str) -> int:
    """Bytes of all that 4-bit Shampoo keeps beside AdamW's moments, on the hidden matrices of one block."""
    opt = piste.Shampoo4bit(Tensors("block").params, storage=storage or None)
    kept = (v for state in opt.state.values() for k, v in state.items() if "exp_avg" not in k)
    return sum(v.numel() * v.element_size() for v in kept if isinstance(v, torch.Tensor))


def _steps(
    who: list[Candidate],
    workload: str,
    rounds: int,
    say: Say,
    repeat: int,
    beside: Mapping[str, Callable[[], object]],
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    tensors, runs, failed, once = Tensors(workload), {}, {}, {}
    for c in who:
        say(f"{workload}: warming up {c.name}")
        try:
            optimizer, start = c.make(tensors), perf_counter()
            for _ in range(WARM):
                tensors.give()
                optimizer.step()
                if perf_counter() - start > PATIENCE / 4:
                    break
            if perf_counter() - start > PATIENCE:  # in one step: not again
                once[c.name] = [perf_counter() - start]
            else:
                runs[c.name] = optimizer.step
        except Exception as error:  # a peer that fails is a result too
            failed[c.name] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    say(f"{workload}: {rounds} rounds of {len(runs)} optimizers")
    seconds = in_turns({**runs, **beside}, rounds, repeat=repeat, before=tensors.give, patience=PATIENCE)
    times = {**seconds, **{name: first * rounds for name, first in once.items()}}
    found = {
        **tensors.described,
        "times": {name: Times.of(times[name]).json() for name in [*runs, *once]},
        "ratios": {name: ratio(times[name], times[_base(name, times)]) for name in [*runs, *once]},
        "once": list(once),
        "failed": failed,
    }
    return found, seconds


def intervals(who: list[Candidate], rounds: int, say: Say) -> dict[str, Any]:
    """Mean step times over whole refresh intervals, on the hidden matrices of one block: in full float32 and, where
    the processor has bf16, piste's also with products of float32 matrices in it."""
    tensors, runs, failed = Tensors("block"), {}, {}
    native = product_dtype("cpu") == torch.bfloat16
    for c in who:
        for precision in ("highest", "medium") if native and c.library == "piste" else ("highest",):
            name = c.name if precision == "highest" else f"{c.name} {precision}"
            say(f"block: warming up {name}")
            try:
                run = functools.partial(_interval, c.make(tensors), tensors, precision)
                run()
                runs[name] = run
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    say(f"block: {rounds} intervals of {len(runs)} optimizers")
    whole = in_turns(runs, rounds)
    seconds = {name: [s / INTERVAL for s in found] for name, found in whole.items()}
    pairs = {name: YARDSTICK[name.partition(" · ")[0]] for name in runs}
    return {
        **tensors.described,
        "bf16": native,
        "times": {name: Times.of(seconds[name]).json() for name in runs},
        "ratios": {n: ratio(seconds[n], seconds[base]) for n, base in pairs.items() if base in seconds},
        "failed": failed,
        "parity": {c.name: _parity(c) for c in who if native and f"{c.name} medium" in runs},
    }


def _interval(optimizer: torch.optim.Optimizer, tensors: Tensors, precision: str) -> None:
    """Steps that hold one refresh, whichever comes first."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        for _ in range(INTERVAL):
            tensors.give()
            optimizer.step()
    finally:
        torch.set_float32_matmul_precision(before)


def _parity(c: Candidate) -> float:
    """How far one interval of steps under "medium" ends from full float32's, relative to the way gone."""
    start = Tensors("block").params
    ends = []
    for precision in ("highest", "medium"):
        tensors = Tensors("block")
        _interval(c.make(tensors), tensors, precision)
        ends.append(
            torch.cat([(p - q).detach().flatten() for p, q in zip(tensors.params, start, strict=True)])
        )
    return float((ends[1] - ends[0]).norm() / ends[0].norm())


YARDSTICK = {
    "AdamW": "AdamW · torch fused",
    "SGD": "SGD · torch fused",
    "Lion": "AdamW · torch fused",
    "ScheduleFreeAdamW": "AdamW · torch fused",
    "Muon": "Muon · torch",
    "SOAP": "SOAP · pytorch_optimizer",
    "Shampoo": "Shampoo · pytorch_optimizer",
    "PSGDKron": "PSGDKron · pytorch_optimizer",
}


def _base(name: str, seconds: dict[str, list[float]]) -> str:
    base = YARDSTICK[name.partition(" · ")[0]]
    return base if base in seconds else name


def overhead(rounds: int) -> dict[str, float]:
    """Python's share of a step at 200 parameters of one element: the step, less the bare kernel on ready lists."""
    tensors = Tensors("ones")
    mine, theirs = (named(f"AdamW · {who}").make(tensors) for who in ("piste", "torch fused"))
    kernel = _bare_adamw(tensors)
    runs = {"piste": mine.step, "torch fused": theirs.step, "kernel": kernel}
    for run in runs.values():
        run()
    seconds = {k: Times.of(v) for k, v in in_turns(runs, rounds, repeat=5, before=tensors.give).items()}
    bare = seconds["kernel"].median
    return {"kernel": bare, **{k: t.median - bare for k, t in seconds.items() if k != "kernel"}}


def _bare_adamw(tensors: Tensors) -> Callable[[], None]:
    params = [p.detach() for p in tensors.params]
    m, v = ([torch.zeros_like(p) for p in params] for _ in range(2))
    step = [torch.tensor(1.0)] * len(params)
    return functools.partial(
        torch._fused_adamw_, params, tensors.grads, m, v, [], step,
        lr=1e-4, beta1=0.9, beta2=0.999, weight_decay=1e-2, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip


def first_steps(names: list[str], workload: str, times: int, say: Say) -> dict[str, Any]:
    """First steps in fresh processes with cold compiler caches, each the median of several processes."""
    found = {}
    for name in names:
        say(f"first step: {name}")
        runs = [fresh.start("step", name, workload, threads=torch.get_num_threads()) for _ in range(times)]
        good = sorted((r for r in runs if "failed" not in r), key=lambda r: r["first"])
        found[name] = good[len(good) // 2] if good else runs[0]  # the run with the median first step
    return found


def imports(times: int, say: Say) -> dict[str, Any]:
    """Import times of fresh processes; the first one, which may find cold files, is left out."""
    say("imports")
    runs = [fresh.start("import", threads=torch.get_num_threads()) for _ in range(times + 1)][1:]
    return {
        "torch": Times.of([r["torch"] for r in runs]).json(),
        "piste": Times.of([r["piste"] for r in runs]).json(),
        "heavy": runs[0]["heavy"],
    }


def everyone(peers: bool) -> dict[str, list[Candidate]]:
    """Who is stepped over which workload."""
    flat = ("AdamW", "SGD", "Lion", "ScheduleFreeAdamW")
    return {
        "gpt": candidates(*flat, peers=peers),
        "tiny": candidates("AdamW", "SGD", "Lion", peers=peers),
        "hidden": candidates("Muon", peers=peers),
        "block": candidates("SOAP", "Shampoo", "PSGDKron", peers=peers),
    }


def element_rules() -> list[str]:
    """The optimizers of piste that see single elements and need no closure."""
    return [e.name for e in piste.registry("optimizer") if not e.needs and by_element(e.name)]


def by_element(name: str) -> bool:
    """Whether an optimizer of piste looks at single elements (and declared sums) only."""
    parts = piste.get(name).target.chain().parts
    return not any(p.sheet for p in parts) and all(p.transform.scope == "element" for p in parts)
