"""Two implementations of one policy: what the precision of their numbers leaves between them."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...memory.precision import cast, precision_mismatch
from ..claim import at_least, at_most, claim

MISMATCH = "Defeating the Training-Inference Mismatch via FP16"


class Policy(nn.Module):
    """Logits of each next token from a window's mean and its last token, through three hidden layers."""

    def __init__(self, words: int = 32, width: int = 64) -> None:
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.body = nn.Sequential(
            *[m for _ in range(3) for m in (nn.Linear(width, width), nn.LayerNorm(width), nn.GELU())]
        )
        self.head = nn.Linear(width, words)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        counts = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)[:, None]
        return self.head(self.body(x + x.cumsum(1) / counts))


@lru_cache(8)
def sampled(seed: int, length: int = 32) -> tuple[Policy, Tensor]:
    """A policy with logits of deviation two or so, and 64 sequences drawn from it."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    policy, random = Policy(), torch.Generator().manual_seed(seed)
    torch.set_rng_state(state)
    tokens = torch.randint(32, (64, 1), generator=random)
    with torch.no_grad():
        policy.head.weight.mul_(4)
        for _ in range(length):
            p = policy(tokens)[:, -1].softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(p, 1, generator=random)], 1)
    return policy, tokens


@claim(
    "precision_mismatch",
    MISMATCH,
    kind="empirical",
    predicts=at_least(8.0),
    tolerance=0.0,
    wrong=torch.bfloat16,
    subject=torch.float16,
    seeds=4,
    scale="a network of three hidden layers of 64 as a policy over 32 words, 64 sequences of 32 of its own",
)
def float16_brings_training_and_inference_together(method: Any, seed: int) -> float:
    """Two engines that run one policy differ by far less in float16 than in bfloat16: the paper reads a KL divergence
    some 24 times smaller.

    KL of a policy under autocast from the same policy with cast weights in bfloat16, over that in float16.
    """
    policy, tokens = sampled(seed)
    rough, fine = precision_mismatch(policy, tokens, (torch.bfloat16, method))
    return rough.kl / fine.kl


@claim(
    "precision_mismatch",
    MISMATCH,
    kind="empirical",
    predicts=at_most(0.25),
    tolerance=0.0,
    wrong=torch.bfloat16,
    subject=torch.float16,
    seeds=4,
    scale="a network of three hidden layers of 64 as a policy over 32 words, 64 sequences of 32 of its own",
)
def importance_weights_of_sequences_vary_less_in_float16(method: Any, seed: int) -> float:
    """What two engines disagree about adds up over a sequence, whose importance weight spreads in bfloat16 and stays
    near one in float16.

    The deviation over sequences of log π/μ in float16, over that in bfloat16.
    """
    policy, tokens = sampled(seed)
    fine, rough = precision_mismatch(policy, tokens, (method, torch.bfloat16))
    return float(fine.sequences.square().mean().sqrt() / rough.sequences.square().mean().sqrt())


def _slope(policy: Policy, context: Tensor, reward: Tensor, chances: Tensor) -> Tensor:
    """Σ chances(y) R(y) ∇ log π(y), the expectation of a policy gradient over draws with these chances, in float64."""
    exact = copy.deepcopy(policy).double()
    with torch.enable_grad():
        logs = F.log_softmax(exact(context)[:, -1], -1)
        total = (chances * reward * logs).sum() / len(context)
        return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(exact.parameters()))])


@claim(
    "precision_mismatch",
    MISMATCH,
    kind="empirical",
    predicts=at_most(0.25),
    tolerance=0.0,
    wrong=torch.bfloat16,
    subject=torch.float16,
    seeds=4,
    scale="a network of three hidden layers of 64 as a policy over 32 words, one action after each of 64 contexts",
)
def policy_gradients_from_samples_of_another_engine_are_less_biased_in_float16(
    method: Any, seed: int
) -> float:
    """Samples of the inference policy bias the gradient of the training policy; float16 all but removes the bias.

    The norm of Σ (μ(y) - π(y)) R(y) ∇ log π(y), exactly over all actions y with Gaussian rewards R, with μ in float16,
    over that with μ in bfloat16.
    """
    policy, tokens = sampled(seed)
    reward = torch.randn(64, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def chances(dtype: torch.dtype) -> Tensor:
        with torch.no_grad():
            made = cast(copy.deepcopy(policy), dtype, norms=None)(tokens)[:, -1]
        return made.double().softmax(-1)

    true = chances(torch.float64)
    biases = [_slope(policy, tokens, reward, chances(d) - true).norm() for d in (method, torch.bfloat16)]
    return float(biases[0] / biases[1])
