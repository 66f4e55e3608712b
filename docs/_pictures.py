"""Pictures of the pages on averages, merging and schedules, drawn when the site is made from what piste computes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import nn

import piste
from piste import schedules as s
from piste import transforms as parts

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, GREY = "#3b82c4", "#d97a2b", "#3f9c6b", "#888888"  # seen on light and on dark paper
STYLE: dict[Any, Any] = {
    "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
    "axes.titlecolor": GREY, "axes.spines.top": False, "axes.spines.right": False, "font.size": 9,
    "svg.fonttype": "none", "svg.hashsalt": "piste", "legend.frameon": False,
}  # fmt: skip
STEPS = 200

SCHEDULES: dict[str, Callable[[int], float]] = {
    "linear": s.linear(1.0, 0.0, STEPS),
    "d2z, 10 % warm-up": s.d2z(1.0, STEPS, 20),
    "cosine to a tenth": s.cosine(1.0, STEPS, 0.1),
    "wsd, 1 - √": s.wsd(1.0, STEPS, warmup=10, cooldown=40, shape=s.one_minus_sqrt),
    "one_cycle": s.one_cycle(1.0, STEPS),
    "sgdr, periods doubled": s.sgdr(1.0, 28, 2),
    "inverse_sqrt": s.inverse_sqrt(1.0, 20),
    "polynomial, squared": s.polynomial(1.0, STEPS, 2.0),
    "uba, φ = 0.5, 1, 4": s.uba(1.0, STEPS, 1.0),
    "rewarm": s.rewarm(1.0, STEPS, 20),
    "repeat": s.repeat(s.warmup(5, s.cosine(1.0, 45)), 50),
    "ema_warmup": s.ema_warmup(0.99),
}


def pages() -> dict[str, bytes]:
    """The pictures, by their place in the site."""
    drawn = {
        "schedules": schedules,
        "branches": branches,
        "weights": weights,
        "path": paths,
        "barrier": barrier,
    }
    with rc_context(STYLE):
        return {f"pictures/{name}.svg": _svg(draw()) for name, draw in drawn.items()}


def schedules() -> Figure:
    """Every shape once, over 200 steps."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    for ax, (name, made) in zip(
        figure.subplots(3, 4, sharex=True, sharey=True).flat, SCHEDULES.items(), strict=True
    ):
        shown = [s.uba(1.0, STEPS, phi) for phi in (0.5, 1.0, 4.0)] if name.startswith("uba") else [made]
        for schedule, colour in zip(shown, (BLUE, ORANGE, GREEN), strict=False):
            ax.plot([schedule(t) for t in range(STEPS)], color=colour)
        ax.set_title(name, fontsize=9)
        ax.set(ylim=(0, 1.05), xticks=(0, 100, 200), yticks=(0, 1))
    return figure


def branches() -> Figure:
    """The race of docs/races/code-branches.journal: final losses by length."""
    from piste.race import results
    from piste.race.score import score

    race = results(HERE / "races" / "code-branches.journal")
    found = score(race)["code"]
    figure, ax = _one("steps of the whole run", "final validation loss")
    for entry, colour in zip(found.entries, (BLUE, ORANGE), strict=False):
        steps = [m * found.info.steps for m in entry.lengths]
        low, mean, high = zip(
            *((min(x), sum(x) / len(x), max(x)) for x in entry.lengths.values()), strict=True
        )
        ax.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(steps, mean, marker="o", ms=4, color=colour, label=entry.entry)
        for record in race.select("code", entry.entry):
            if record.phase != "tune" and record.seed == 1:
                late = [p for p in record.curve if p[0] >= 0.15 * found.info.steps]
                ax.plot(*zip(*late, strict=True), color=colour, alpha=0.35, linewidth=0.8)
    ax.legend()
    return figure


AVERAGES: dict[str, Callable[[], Any]] = {
    "ema_weights, 0.98": lambda: parts.ema_weights(0.98),
    "ema_weights, 4 % of the past": lambda: parts.ema_weights(s.share_of_the_past(0.04)),
    "swa from step 150 on": lambda: parts.swa(start=150),
    "latest_weights, 6, every 10": lambda: parts.latest_weights(k=6, every=10),
    "power_ema, a tenth": lambda: parts.power_ema(length=0.1),
    "schedule_free": lambda: parts.schedule_free(1.0, 0.9),
}


def weights() -> Figure:
    """How much each point of the base rule's path counts in the average after 200 steps."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for ax, (name, part) in zip(figure.subplots(2, 3, sharex=True).flat, AVERAGES.items(), strict=True):
        ax.fill_between(range(1, STEPS + 1), shares(part).tolist(), color=BLUE, alpha=0.6, linewidth=0)
        ax.set_title(name, fontsize=9)
        ax.set(ylim=(0, None), yticks=())
    figure.supxlabel("step", fontsize=9)
    return figure


def shares(part: Callable[[], Any]) -> torch.Tensor:
    """The average of a path that is at the t-th unit vector after step t."""

    @piste.optimizer
    def Along(lr: float = 1.0) -> Any:
        return piste.chain(parts.descend(lr), part())

    point = nn.Parameter(torch.zeros(STEPS, dtype=torch.float64))
    path = torch.eye(STEPS, dtype=torch.float64)
    opt: Any = Along([point])
    for t in range(STEPS):
        point.grad = (path[t - 1] if t else torch.zeros(STEPS, dtype=torch.float64)) - path[t]
        opt.step()
    with opt.averaged():
        return point.detach().clone()


def paths() -> Figure:
    """SGD at a constant rate on a noisy quadratic: the last point, an exponential average, and one of equal weights."""
    h = torch.logspace(0, -2, 20, dtype=torch.float64)
    figure, ax = _one("step", "loss above the least")
    for name, part, colour in (
        ("the last point", None, GREY),
        ("ema_weights, 0.98", lambda: parts.ema_weights(0.98), BLUE),
        ("swa from step 300 on", lambda: parts.swa(start=300), ORANGE),
    ):

        @piste.optimizer
        def Noisy(lr: float = 0.3, part: Any = part) -> Any:
            return piste.chain(parts.descend(lr), *([part()] if part else []))

        random = torch.Generator().manual_seed(0)
        point, seen = nn.Parameter(torch.full((400, 20), 2.0, dtype=torch.float64)), []
        opt: Any = Noisy([point])
        for _ in range(800):
            point.grad = h * point.detach() + torch.randn(400, 20, generator=random, dtype=torch.float64)
            opt.step()
            with opt.averaged():
                seen.append(float(0.5 * (h * point.detach().square()).sum(1).mean()))
        ax.plot(seen, color=colour, label=name)
    ax.set_yscale("log")
    for each in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        each(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.legend()
    return figure


def barrier() -> Figure:
    """Two networks from different starts on scikit-learn's digits: the loss between them, as they are and matched."""
    from sklearn.datasets import load_digits

    from piste.merging import loss_path, rebasin

    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
    nets = [_trained(seed, x, y) for seed in (1, 2)]
    found = rebasin.symmetries(nets[0], x[:8])
    a, b = (net.state_dict() for net in nets)
    matched = found.apply(b, rebasin.match_weights(found, a, b, torch.Generator().manual_seed(0)))

    def loss(state: dict[str, torch.Tensor]) -> float:
        with torch.no_grad():
            return float(nn.functional.cross_entropy(torch.func.functional_call(nets[0], state, (x,)), y))

    figure, ax = _one("α: from one network to the other", "loss")
    for name, other, colour in (("as they are", b, ORANGE), ("the second's units permuted", matched, BLUE)):
        path = loss_path(a, other, loss, points=21)
        ax.plot(
            path.alphas,
            path.losses[""],
            marker="o",
            ms=3,
            color=colour,
            label=f"{name}: barrier {path.barrier:.2f}",
        )
    ax.set_ylim(0, 1.4 * ax.get_ylim()[1])
    ax.legend(loc="upper left")
    return figure


def _trained(seed: int, x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    opt: Any = piste.AdamW(net, lr=3e-3)
    for _ in range(150):
        opt.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        opt.step()
    return net


def _one(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.set(xlabel=x, ylabel=y)
    return figure, ax


def _svg(figure: Figure) -> bytes:
    out = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return out.getvalue()


if __name__ == "__main__":
    for place, content in pages().items():
        Path(place).parent.mkdir(exist_ok=True)
        Path(place).write_bytes(content)
