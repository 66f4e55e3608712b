"""Learning rates and batch sizes told from sizes."""

from __future__ import annotations

from typing import NamedTuple

from .._registry import register

RULES = {"linear": 1.0, "sqrt": 0.5}


def scaled_lr(lr: float, batch: float, new_batch: float, rule: str = "sqrt") -> float:
    """The rate at another batch size: η B'/B ("linear", for SGD) or η √(B'/B) ("sqrt", for Adam and its kin).

    While the noise of the batch's curvature dominates, the largest stable rate moves so; for large batches it does not
    move any more, since the curvature of all data bounds it.

    Errors: ValueError for sizes or rates that are not positive, or a rule that is not there.

    Reference: "Learning Rates as a Function of Batch Size: A Random Matrix Theory Approach to Neural Network Training",
    Diego Granziol, Stefan Zohren, Stephen Roberts, 2022, https://www.jmlr.org/papers/v23/20-1258.html
    """
    if rule not in RULES:
        raise ValueError(f"scaled_lr: rule must be one of {', '.join(RULES)}; got {rule!r}")
    if not min(lr, batch, new_batch) > 0:
        raise ValueError(
            f"scaled_lr: a rate and two batch sizes over 0 are needed; got {lr}, {batch}, {new_batch}"
        )
    return lr * (new_batch / batch) ** RULES[rule]


class StepLaw(NamedTuple):
    """``lr``: the peak; ``batch``: in tokens."""

    lr: float
    batch: float


def step_law(parameters: float, tokens: float) -> StepLaw:
    """The peak rate and the batch size at which a language model trains best, fitted by its authors on 3,700 runs.

        η = 1.79 N^(-0.713) D^(0.307),    B = 0.58 D^(0.571)

    N: parameters without embeddings; D: training tokens; B in tokens. It speaks of AdamW with the usual initialisation
    and a cosine that falls to 1e-5, not to a share of the peak.

    Reference: "Predictable Scale: Part I -- Optimal Hyperparameter Scaling Law in Large Language Model Pretraining",
    Houyi Li, Wenzhen Zheng, Qiufeng Wang, et al., 2025, https://arxiv.org/abs/2503.04715
    """
    if not min(parameters, tokens) > 0:
        raise ValueError(f"step_law: parameters and tokens must be over 0; got {parameters} and {tokens}")
    return StepLaw(1.79 * parameters**-0.713 * tokens**0.307, 0.58 * tokens**0.571)


register("rate", "scaled_lr", scaled_lr)
register("rate", "step_law", step_law)
