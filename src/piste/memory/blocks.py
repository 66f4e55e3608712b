"""Blocks of parameters trained in turn."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .._registry import register

Order = Callable[[int, int, int], list[int]]


def shuffled(count: int, cycle: int, seed: int) -> list[int]:
    """A new permutation for each cycle, of seed and cycle alone."""
    order = list(range(count))
    random.Random(f"{seed}/{cycle}").shuffle(order)
    return order


def ascending(count: int, cycle: int, seed: int) -> list[int]:
    return list(range(count))


def descending(count: int, cycle: int, seed: int) -> list[int]:
    """From the output to the input."""
    return list(reversed(range(count)))


ORDERS: Mapping[str, Order] = {"random": shuffled, "ascending": ascending, "descending": descending}


def by_layer(model: nn.Module) -> list[list[str]]:
    """Names of the trainable parameters, cut as BAdam's authors cut a transformer: embeddings, each member of a list of
    layers, and all others together. Without any such layers, each child of the model is a block."""
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    numbered = any(re.search(r"(^|\.)\d+\.", n) and not isinstance(model, nn.Sequential) for n in names)
    found: dict[str, list[str]] = {}
    for name in names:
        layer = re.match(r"(.*?\.)?\d+\.", name)
        if not numbered:
            key = name.split(".")[0]
        elif layer:
            key = layer.group(0)
        else:
            key = "embed" if "emb" in name else ""
        found.setdefault(key, []).append(name)
    return list(found.values())


class Blocks:
    """Block-coordinate descent with any optimizer: one block of parameters is awake at a time, the others cost nothing.

        for each cycle, for each block b in the order:  K steps of the optimizer on b alone, its state made anew

    With AdamW this is BAdam. State is that of the largest block; backward stops at the block that is awake, so that it
    makes no gradients of what lies below and none but activations' of what lies above. For fine-tuning all weights of a
    large model on a small card.

        optimizer = piste.AdamW(model, lr=1e-5)
        blocks = Blocks(optimizer, by_layer(model), every=100)
        for batch in data:
            loss(batch).backward()
            optimizer.step();  optimizer.zero_grad()
            blocks.step()

    ``blocks``: lists of parameter names (or parameters); the optimizer's groups are the blocks where none are given.
    ``every`` is the authors' K; they advise n/(BD) for n examples in batches of B and D blocks, held to 50 to 100.
    ``order``: "random" (a new one in each cycle, the authors' choice), "descending" (from the output), "ascending", or
    a function (number of blocks, cycle, seed) -> the cycle's order. ``always``: parameters that stay awake. Frozen
    parameters stay frozen.

    What is awake is a function of the number of steps and the seed alone, which :meth:`state_dict` holds. To resume,
    load this before the optimizer. :meth:`close` wakes everything up.

    Deviations from the authors' code (Ledzy/BAdam at bf989dc): every block has K steps (there the first has K - 1), and
    what keeps bf16 weights in float32 while they are awake is the optimizer's ``storage``.

    Reference: "BAdam: A Memory Efficient Full Parameter Training Method for Large Language Models", Qijun Luo, Hengxu
    Yu, Xiao Li, 2024, https://arxiv.org/abs/2404.02827
    """

    def __init__(
        self, optimizer: Any, blocks: Sequence[Sequence[Any]] | None = None, every: int = 100,
        order: str | Order = "random", seed: int = 0, always: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        if every < 1:
            raise ValueError(f"Blocks: every is a number of steps of at least 1, got {every}")
        if isinstance(order, str) and order not in ORDERS:
            raise ValueError(f"Blocks: order is one of {', '.join(ORDERS)} or a function, got {order!r}")
        self.optimizer, self.every, self.seed, self.steps = optimizer, every, seed, 0
        self.order = ORDERS[order] if isinstance(order, str) else order
        groups = optimizer.param_groups
        listed = [g["params"] for g in groups] if blocks is None else blocks
        named = {n: p for g in groups for n, p in zip(g.get("param_names", ()), g["params"], strict=False)}
        always = [self._found(x, named) for x in always]
        awake = {id(p) for p in always}
        found = [[p for p in (self._found(x, named) for x in block) if p.requires_grad] for block in listed]
        self.blocks = [kept for block in found if (kept := [p for p in block if id(p) not in awake])]
        self._check(groups, awake)
        self._wake()

    def _found(self, given: Any, named: Mapping[str, Tensor]) -> Tensor:
        if isinstance(given, Tensor):
            return given
        if given not in named:
            raise ValueError(
                f"Blocks: the optimizer has no parameter named {given!r}: make it of a module or of named parameters, "
                "or give the parameters themselves"
            )
        return named[given]

    def _check(self, groups: Sequence[Mapping[str, Any]], awake: set[int]) -> None:
        ids = [id(p) for block in self.blocks for p in block]
        if len(self.blocks) < 2:
            raise ValueError(
                f"Blocks: {len(self.blocks)} block with trainable parameters: two are needed to take turns"
            )
        if len(set(ids)) < len(ids):
            raise ValueError("Blocks: a parameter stands in two blocks")
        left = [p for g in groups for p in g["params"] if p.requires_grad and id(p) not in {*ids, *awake}]
        if left:
            raise ValueError(
                f"Blocks: {len(left)} trainable parameters of the optimizer are in no block: name them in one, in "
                "always=, or freeze them"
            )

    @property
    def awake(self) -> int:
        """The number of the block that is trained now."""
        turn = self.steps // self.every
        cycle, place = divmod(turn, len(self.blocks))
        return self.order(len(self.blocks), cycle, self.seed)[place]

    def step(self) -> None:
        """To be called behind every step of the optimizer."""
        before = self.awake
        self.steps += 1
        if self.steps % self.every == 0:
            if self.awake == before:  # the last of one cycle and the first of the next
                self._forget(self.blocks[before])
            self._wake()

    def _wake(self) -> None:
        for number, block in enumerate(self.blocks):
            on = number == self.awake
            for p in block:
                if not on:
                    p.grad = None
                p.requires_grad_(on)
            if not on:
                self._forget(block)
        for group in self.optimizer.param_groups:
            if "active" in group:
                group["active"] = any(p.requires_grad for p in group["params"])

    def _forget(self, block: Sequence[Tensor]) -> None:
        for p in block:
            if p in self.optimizer.state:
                self.optimizer.state[p] = {}

    def close(self) -> None:
        """Everything awake."""
        for p in (p for block in self.blocks for p in block):
            p.requires_grad_(True)
        for group in self.optimizer.param_groups:
            if "active" in group:
                group["active"] = True

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.steps, "seed": self.seed, "every": self.every, "blocks": len(self.blocks)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Errors (ValueError): it was made with other numbers of blocks or of steps."""
        mine = self.state_dict()
        wrong = [k for k in ("every", "blocks") if state[k] != mine[k]]
        if wrong:
            raise ValueError(
                f"Blocks: the state has another {wrong[0]}: {state[wrong[0]]}, here {mine[wrong[0]]}"
            )
        self.steps, self.seed = int(state["steps"]), int(state["seed"])
        self._wake()


register("memory", "Blocks", Blocks)
