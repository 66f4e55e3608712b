"""Low-rank adapters, one behind another: Chain of LoRA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..._registry import get
from ...memory.low_rank import ChainOfLoRA
from ..claim import at_most, claim, equal
from ..tuning import tuned
from .matrices import matrix

COLA = "Chain of LoRA: Efficient Fine-tuning of Language Models via Residual Learning"
RANK = 2
Link = Callable[[ChainOfLoRA, Any], None]


def tied(chain: ChainOfLoRA, opt: Any) -> None:
    chain.tie(opt)


def one_pair(chain: ChainOfLoRA, opt: Any) -> None:
    """LoRA: the same pair goes on."""


def _trained(
    method: Link, seed: int, lr: float, links: int, steps: int, rank: int = RANK
) -> tuple[nn.Linear, Any]:
    """A linear layer of 12 × 16 that is fine-tuned on ½‖(W - W*)X‖²/n, W* - W₀ of full rank."""
    torch.manual_seed(seed)
    layer, x = nn.Linear(16, 12, bias=False, dtype=torch.float64), matrix(seed + 3, 16, 64)
    target = layer.weight.detach() + matrix(seed + 5, 12, 16) / 4
    chain = ChainOfLoRA(layer, rank=rank, seed=seed)
    opt = get("AdamW", "optimizer").target(chain.parameters(), lr=lr, weight_decay=0.0)
    for t in range(links * steps):
        if t and t % steps == 0:
            method(chain, opt)
        opt.zero_grad()
        (chain.model(x.mT) - x.mT @ target.mT).square().sum(1).mean().backward()
        opt.step()
    kept = opt.state_bytes()
    merged = chain.merge()
    assert isinstance(merged, nn.Linear)
    merged.target, merged.x = target, x  # type: ignore[assignment]
    return merged, kept


@claim(
    "ChainOfLoRA", COLA, subject=tied, kind="theorem", predicts=equal(4.0 * RANK), tolerance=0.0, wrong=one_pair,
    seeds=2,
)  # fmt: skip
def links_add_up_to_a_higher_rank(method: Link, seed: int) -> float:
    """A chain of k pairs of rank r makes a change of rank kr, where one pair makes one of rank r.

    The rank of the change of 12 × 16 after four links of rank 2, of 60 steps each.
    """
    torch.manual_seed(seed)
    begin = nn.Linear(16, 12, bias=False, dtype=torch.float64).weight.detach()
    layer, _ = _trained(method, seed, 0.02, 4, 60)
    return float(torch.linalg.matrix_rank(layer.weight.detach() - begin, rtol=1e-9))


@claim(
    "ChainOfLoRA", COLA, subject=tied, kind="empirical", predicts=at_most(0.5), tolerance=0.0, wrong=one_pair, seeds=4,
    scale="least squares for a change of 12 × 16 of full rank from 64 inputs, rank 2, four links of 60 steps",
    cost="full",
)  # fmt: skip
def a_chain_learns_what_one_pair_leaves(method: Link, seed: int) -> float:
    """COLA reaches lower losses than LoRA of the same rank in as many steps.

    The loss over that of one pair, each at the best of its rates; four links can hold the change's eight leading
    directions of twelve.
    """

    def left(how: Link, lr: float) -> float:
        layer, _ = _trained(how, seed, lr, 4, 60)
        gap = (layer.weight.detach() - layer.target) @ layer.x  # type: ignore[operator]
        return float(gap.square().sum())

    rates = (0.01, 0.03, 0.1)
    return tuned(lambda lr: left(method, lr), rates).score / tuned(lambda lr: left(one_pair, lr), rates).score


def wide(chain: ChainOfLoRA, opt: Any) -> None:
    """Stands for one pair of four times the rank."""


@claim(
    "ChainOfLoRA", COLA, subject=tied, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=wide, seeds=2
)  # fmt: skip
def a_chain_takes_the_memory_of_one_pair(method: Link, seed: int) -> float:
    """A chain needs no more memory than LoRA, however many links it has.

    The bytes of AdamW's state at the end of four links over those of the moments of one pair, 2r(m + n) numbers.
    """
    _, kept = _trained(method, seed, 0.02, 4, 5, rank=4 * RANK if method is wide else RANK)
    return kept / (8 * 2 * RANK * (12 + 16))
