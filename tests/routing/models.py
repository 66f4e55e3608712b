"""Small models of the kinds that people train, written the ways that people write them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


class Residual(nn.Module):
    def __init__(self, inp: int, out: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    def __init__(self, classes: int | None = 5, depth: int = 2):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Residual(8, 8), *(Residual(8, 8) for _ in range(depth - 1)))
        self.layer2 = nn.Sequential(Residual(8, 16, 2), *(Residual(16, 16) for _ in range(depth - 1)))
        self.fc = nn.Linear(16, classes) if classes else nn.Identity()


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, kv_heads: int | None = None, bias: bool = False):
        super().__init__()
        self.n_head, self.n_kv_head = heads, kv_heads or heads
        size = width // heads
        self.qkv = nn.Linear(width, width + 2 * self.n_kv_head * size, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)


class Mlp(nn.Module):
    def __init__(self, width: int, ratio: int = 4):
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, kv_heads: int | None = None, ratio: int = 4):
        super().__init__()
        self.norm1 = RMSNorm(width)
        self.attn = Attention(width, heads, kv_heads)
        self.norm2 = RMSNorm(width)
        self.mlp = Mlp(width, ratio)
        self.gamma = nn.Parameter(torch.ones(width))


class GPT(nn.Module):
    def __init__(self, tied: bool = True, kv_heads: int | None = None, depth: int = 2, ratio: int = 4):
        super().__init__()
        self.wte = nn.Embedding(50, 16)
        self.wpe = nn.Embedding(10, 16)
        self.blocks = nn.ModuleList(Block(16, 4, kv_heads, ratio) for _ in range(depth))
        self.norm = RMSNorm(16)
        self.lm_head = nn.Linear(16, 50, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.pos_embed = nn.Parameter(torch.zeros(1, 17, 16))
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.blocks = nn.Sequential(*(Block(16, 4) for _ in range(2)))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 7)


class Experts(nn.Module):
    """Two stacks and a router, the gated stack of twice the height."""

    def __init__(self, width: int = 16, inner: int = 24, experts: int = 4, gated: bool = False):
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.w_in = nn.Parameter(torch.randn(experts, inner * (2 if gated else 1), width))
        self.w_out = nn.Parameter(torch.randn(experts, width, inner))
        self.w_in_bias = nn.Parameter(torch.zeros(experts, inner))


class MoE(nn.Module):
    def __init__(self, gated: bool = False):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.blocks = nn.ModuleList()
        for _ in range(2):
            self.blocks.append(nn.ModuleDict({"attn": Attention(16, 4), "moe": Experts(gated=gated)}))
        self.out = nn.Linear(16, 50)


class ExpertList(nn.Module):
    """Experts as modules, the router beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(16, 3, bias=False)
        self.experts = nn.ModuleList(Mlp(16) for _ in range(3))


class LoRA(nn.Module):
    """W + BA around a frozen layer, with factors called neither lora nor adapter."""

    def __init__(self, base: nn.Linear, rank: int = 2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))


def lora_gpt() -> GPT:
    model = GPT()
    for block in cast("list[Block]", list(model.blocks)):
        block.attn.qkv = cast(nn.Linear, LoRA(block.attn.qkv))
    return model


class Tokens(nn.Module):
    """An embedding, a linear layer and a matrix that a course might have students write themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embeddings = Weight(50, 16)
        self.mix = Weight(16, 24)
        self.metric = nn.Parameter(torch.eye(16))
        self.temperature = nn.Parameter(torch.ones(()))
        self.per_head = PerHead()
        self.lm_head = Weight(50, 16)


class Weight(nn.Module):
    def __init__(self, *shape: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape))


class PerHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n_heads = 4
        self.W_Q = nn.Parameter(torch.randn(4, 16, 4))
        self.W_O = nn.Parameter(torch.randn(16, 4, 4))


def renamed(module: nn.Module) -> nn.Module:
    """As FSDP2 does: every module's class becomes a subclass of itself and a marker, under another name."""
    for m in list(module.modules()):
        m.__class__ = type(f"FSDP{type(m).__name__}", (Marker, type(m)), {})
    return module


class Marker:
    """What FSDP2 mixes into the classes it shards."""


class Wrapper(nn.Module):
    """What data parallelism puts around a model."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)
