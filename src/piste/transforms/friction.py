"""Steps that shrink where the gradient does not change."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, transform


@transform(invariant=("sign",), holds=("rule",), previous_grad=moment)
def with_friction(u: Tensor, rule: Any, previous_grad: Tensor) -> Any:
    """u ← σ(|u - last u|) rule(u): between half the rule's step, where u stays as it was, and all of it.

    The change is measured in the gradient's own units: where gradients are far below 1 it is half the step throughout.

    Reference: "diffGrad: An Optimization Method for Convolutional Neural Networks", Shiv Ram Dubey, Soumendu
    Chakraborty, Swalpa Kumar Roy, Snehasis Mukherjee, Satish Kumar Singh, Bidyut Baran Chaudhuri, 2019,
    https://arxiv.org/abs/1909.11015
    """
    return rule(u) * (u - previous_grad).abs().sigmoid(), u
