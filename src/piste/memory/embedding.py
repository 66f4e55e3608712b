"""The embedding layer that goes with states in eight bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._registry import register

PLAIN = {"moment": "fp32", "square": "fp32"}


class StableEmbedding(nn.Module):
    """An embedding that starts from Xavier's uniform numbers and ends in a layer norm; its state wants 32 bits.

        y = LayerNorm(W[i]),  W ~ U(-√(6/(n + d)), √(6/(n + d)))

    When: a language model is trained with states in eight bits: rows of rare words have few, large gradients, which is
    what a block's shared scale serves worst. Put it before positions are added. The norm is computed in the default
    dtype whatever the weight's is. :func:`plain_embeddings` keeps its state in 32 bits while ``storage="8bit"`` packs
    the rest.

    Reference: "8-bit Optimizers via Block-wise Quantization", Tim Dettmers, Mike Lewis, Sam Shleifer, Luke Zettlemoyer,
    2021, https://arxiv.org/abs/2110.02861, section 2.3

    Deviations from the authors' code (bitsandbytes, nn/modules.py): no ``max_norm``, ``scale_grad_by_freq`` and sparse
    gradients; the 32 bits are asked for where the optimizer is made, not in a global table.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx is a row of {num_embeddings}, got {padding_idx}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.norm = nn.LayerNorm(embedding_dim, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        if self.padding_idx is not None:
            with torch.no_grad():
                self.weight[self.padding_idx].fill_(0)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = F.embedding(tokens, self.weight, self.padding_idx)
        return self.norm(rows.to(self.norm.weight.dtype)).to(self.weight.dtype)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


def plain_embeddings(groups: Iterable[Mapping[str, Any]], model: nn.Module) -> list[dict[str, Any]]:
    """Param groups in which the weights of all :class:`StableEmbedding` layers of ``model`` stand apart, their moments
    and squares in 32 bits.

        groups = plain_embeddings(piste.AdamW(model, lr=1e-3).param_groups, model)
        opt = piste.AdamW(groups, storage="8bit")

    Errors (ValueError): the model has no such layer.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, StableEmbedding)}
    if not tables:
        raise ValueError(
            f"{type(model).__name__} has no StableEmbedding: there is nothing to keep in 32 bits"
        )
    made: list[dict[str, Any]] = []
    for group in groups:
        names = group.get("param_names") or [None] * len(group["params"])
        for inside in (False, True):
            kept = [
                (n, p) for n, p in zip(names, group["params"], strict=True) if (id(p) in tables) is inside
            ]
            if kept:
                part = {
                    k: v for k, v in group.items() if k not in ("params", "param_names", "storage", "step")
                }
                part["params"] = [p if n is None else (n, p) for n, p in kept]
                made.append({**part, "storage": PLAIN} if inside else part)
    return made


register("memory", "StableEmbedding", StableEmbedding)
register("memory", "plain_embeddings", plain_embeddings)
