"""Five small models, fine-tuned from one start with other hyperparameters, merged eight ways.

    python examples/soup.py                  a minute or two on two cores
    python examples/soup.py --out soup.md    the table as Markdown

The start has learned scikit-learn's digits as they are, the five are tuned on turned ones, and each merge is tried on
turned digits, on upright ones, and on ones it never saw: turned further, and noisy. The greedy soup chooses on half of
the turned validation digits; all numbers are of the other half.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import piste
from piste import merging
from piste.schedules import cosine

State = dict[str, Tensor]


def data() -> tuple[Tensor, Tensor]:
    """Images [n, 1, 8, 8] in one fixed random order, and labels."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    return images[order], torch.tensor(digits.target)[order]


def turned(x: Tensor, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 16, 96), nn.ReLU(), nn.Linear(96, 10),
    )  # fmt: skip


def train(
    net: nn.Module, x: Tensor, y: Tensor, lr: float, epochs: int, decay: float, smoothing: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * (len(x) // 64)
    opt = piste.AdamW(net, lr=lr, weight_decay=decay)
    opt.schedules["lr"] = cosine(lr, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=generator)
        opt.zero_grad()
        F.cross_entropy(net(x[rows]), y[rows], label_smoothing=smoothing).backward()
        opt.step()


def accuracy(net: nn.Module, state: State, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((torch.func.functional_call(net, state, (x,)).argmax(-1) == y).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the table here, too")
    parser.add_argument("--epochs", type=int, default=12)
    asked = parser.parse_args()
    torch.manual_seed(0)
    x, y = data()
    train_x, train_y, held_x, held_y, test_x, test_y = (
        x[:1000],
        y[:1000],
        x[1000:1400],
        y[1000:1400],
        x[1400:],
        y[1400:],
    )

    base = model()
    train(base, train_x, train_y, 3e-3, asked.epochs, 0.01, 0.0, seed=0)
    tuned: list[nn.Module] = []
    task = turned(train_x, 40)
    for seed, (lr, decay, smoothing) in enumerate(
        [(1e-3, 0.0, 0.0), (2e-3, 0.01, 0.0), (4e-3, 0.1, 0.0), (1e-3, 0.01, 0.1), (2e-3, 0.1, 0.1)], 1
    ):
        net = copy.deepcopy(base)
        train(net, task, train_y, lr, asked.epochs, decay, smoothing, seed)
        tuned.append(net)
        print(f"tuned {seed} of 5")

    noise = 0.25 * torch.randn(test_x.shape, generator=torch.Generator().manual_seed(1))
    tests = {
        "turned": turned(test_x, 40), "upright": test_x, "turned further": turned(test_x, 60),
        "noisy": turned(test_x, 40) + noise,
    }  # fmt: skip
    judge = model()

    def score(state: State) -> float:
        return accuracy(judge, state, turned(held_x, 40), held_y)

    statistics = [merging.fisher_diagonal(net, [task[:200]]) for net in tuned]
    rows: dict[str, State] = {"the start": base.state_dict()}
    greedy = merging.greedy_soup(tuned, score)
    best = max(range(5), key=greedy.alone.__getitem__)
    rows["best of five"] = tuned[best].state_dict()
    ways: dict[str, Callable[[], State]] = {
        "uniform soup": lambda: merging.merge("soup", tuned),
        f"greedy soup of {len(greedy.chosen)}": lambda: greedy.tensors,
        "WiSE-FT of the best, α = ½": lambda: merging.merge("wise_ft", [tuned[best]], base=base),
        "Model Stock of two": lambda: merging.merge("model_stock", tuned[:2], base=base),
        "task arithmetic, λ = 0.2": lambda: merging.merge("task_arithmetic", tuned, base=base, scale=0.2),
        "TIES, 20 %": lambda: merging.merge("ties", tuned, base=base),
        "DARE, 10 %": lambda: merging.merge("dare", tuned, base=base, scale=0.2),
        "Fisher": lambda: merging.merge("fisher", tuned, statistics=statistics),
    }
    rows.update({name: way() for name, way in ways.items()})
    lines = ["| model | " + " | ".join(tests) + " |", "|---|" + "---:|" * len(tests)]
    for name, state in rows.items():
        cells = [f"{100 * accuracy(judge, state, images, test_y):.1f}" for images in tests.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    print(table)
    if asked.out:
        asked.out.write_text(table + "\n")


if __name__ == "__main__":
    main()
