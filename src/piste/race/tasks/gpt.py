"""A small GPT: rotary positions, normalised queries and keys, output projections that start at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GPT(nn.Module):
    """Tokens [batch, time] to logits [batch, time, vocabulary]; pre-norm blocks, no biases, untied head."""

    rotary: Tensor

    def __init__(self, vocabulary: int, width: int, blocks: int, heads: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.register_buffer("rotary", rotary_table(context, width // heads), persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            nn.init.zeros_(block.attention.out.weight)  # type: ignore[union-attr]
            nn.init.zeros_(block.mlp[-1].weight)  # type: ignore[union-attr,index]
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.rotary[:, : tokens.shape[1]])
        return self.head(self.norm(x))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
        )

    def forward(self, x: Tensor, rotary: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), rotary)
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotary: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        q, k = rotate(F.rms_norm(q, q.shape[-1:]), rotary), rotate(F.rms_norm(k, k.shape[-1:]), rotary)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


def rotary_table(context: int, width: int) -> Tensor:
    """Cosines and sines [2, context, width / 2] of Su et al., "RoFormer: Enhanced Transformer with Rotary
    Position Embedding", 2021, https://arxiv.org/abs/2104.09864; base 1,000 suits a short context."""
    speed = 1000.0 ** -(torch.arange(0, width, 2) / width)
    angle = torch.arange(context)[:, None] * speed
    return torch.stack((angle.cos(), angle.sin()))


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + width/2}) by its position's angle; `x` is [batch, heads, time, width]."""
    cos, sin = rotary
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
