"""A small GPT under FSDP2: sharded weights, gradients and state, checkpoints that resume exactly.

    torchrun --nproc-per-node 2 examples/fsdp2_gpt.py                     on CPUs (gloo) or GPUs (nccl)
    torchrun --nproc-per-node 2 examples/fsdp2_gpt.py --resume            goes on where the last run was stopped
    torchrun --nproc-per-node 4 examples/fsdp2_gpt.py --optimizer AdamW --storage 8bit

It learns the bytes of Python's own standard library. The number of ranks may change between runs; the result is then
the same up to the order of sums, and other batches.
"""

from __future__ import annotations

import argparse
import os
import sysconfig
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F

import piste

WIDTH, BLOCKS, HEADS, CONTEXT, BATCH = 128, 3, 4, 128, 8  # small enough for two CPUs; a token is a byte


class Block(nn.Module):
    """Causal attention and a perceptron, each on the normalized stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm_1(x)
        q, k, v = (
            w(h).unflatten(-1, (HEADS, -1)).transpose(1, 2) for w in (self.query, self.key, self.value)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    """Bytes [batch, time] to logits [batch, time, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(256, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.position.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def text() -> Tensor:
    """Python's standard library, byte by byte."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return torch.frombuffer(bytearray(b"".join(f.read_bytes() for f in files)), dtype=torch.uint8)


def batch(data: Tensor, step: int) -> Tensor:
    """This rank's windows: a function of step and rank alone, so that a resumed run sees what it would have seen."""
    seed = torch.Generator().manual_seed(step * dist.get_world_size() + dist.get_rank())
    starts = torch.randint(len(data) - CONTEXT, (BATCH, 1), generator=seed)
    return data[starts + torch.arange(CONTEXT + 1)].long()


def optimizer(model: nn.Module, asked: argparse.Namespace) -> piste.Optimizer:
    """By name, each group's rate warmed up and cooled down; what is no hidden matrix, Muon hands to AdamW."""
    opt = piste.get(asked.optimizer, "optimizer").target(model, storage=asked.storage)
    for group in opt.param_groups:
        opt.schedules[f"{group['optimizer']}.lr"] = piste.schedules.wsd(
            group["lr"],
            steps=asked.steps,
            cooldown=max(1, asked.steps // 5),
            warmup=min(10, asked.steps // 5),
        )
    return opt


def save(folder: Path, step: int, model: nn.Module, opt: piste.Optimizer) -> None:
    """Every rank writes its shards; a name that is there is a checkpoint that is whole."""
    state = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, opt)}
    dcp.save(state, checkpoint_id=folder / "unfinished")
    if dist.get_rank() == 0:
        (folder / "unfinished").rename(folder / f"step-{step:06}")
    dist.barrier()


def load(folder: Path, model: nn.Module, opt: piste.Optimizer) -> int:
    """The newest checkpoint; how many steps it has behind it (0: there is none)."""
    found = sorted(folder.glob("step-*"))
    if not found:
        return 0
    state = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, opt)}
    dcp.load(state, checkpoint_id=found[-1])
    set_model_state_dict(model, state["model"])
    set_optimizer_state_dict(model, opt, state["optimizer"])
    return int(found[-1].name.removeprefix("step-"))


def train(asked: argparse.Namespace, device: torch.device) -> None:
    rank, world = dist.get_rank(), dist.get_world_size()
    say = print if rank == 0 else lambda *_, **__: None
    if not asked.resume and any(asked.folder.glob("step-*")):
        raise SystemExit(f"{asked.folder} has checkpoints: add --resume, or name another --folder")
    with torch.device("meta"):  # what it will take, before it takes anything
        planned = piste.cost.plan(optimizer(GPT(), asked), f"dp={world}").at((rank, 0))
    torch.manual_seed(0)  # every rank makes the same weights and keeps its shards
    model = GPT().to(device)
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
    opt = optimizer(model, asked)
    start = load(asked.folder, model, opt) if asked.resume else 0
    say(f"{asked.optimizer} on {world} ranks ({device.type}), from step {start} to {asked.steps}; on rank 0 "
        f"{opt.state_bytes():,} bytes of state, {planned.state_bytes:,} as forecast")  # fmt: skip
    data, began, loss = text(), time.perf_counter(), torch.zeros(())
    for step in range(start, asked.steps):
        x = batch(data, step).to(device)
        loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        loss.backward()
        opt.step()
        opt.zero_grad()
        done = step + 1
        if done % asked.every == 0 or done == asked.steps:
            dist.all_reduce(mean := loss.detach() / world)
            speed = (done - start) * world * BATCH * CONTEXT / (time.perf_counter() - began)
            say(f"step {done:>6}   loss {mean:.4f}   {speed:,.0f} tokens/s", flush=True)
        if done % asked.save_every == 0 or done == asked.steps:
            save(asked.folder, done, model, opt)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--optimizer", default="Muon", help="any name of `piste list` that needs no closure")
    parser.add_argument("--storage", help="how its state is kept: 8bit, 4bit, bf16 (default: as it is)")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--every", type=int, default=5, help="steps between two lines")
    parser.add_argument("--save-every", type=int, default=1000, help="steps between two checkpoints")
    parser.add_argument("--folder", type=Path, default=Path("fsdp2_gpt"), help="of the checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        train(parser.parse_args(), device)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
