"""LOMO."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.clipping import clip_by_value
from ..transforms.decay import decay_weights, descend


@optimizer
def LOMO(lr: float = 1e-3, weight_decay: float = 0.0, clip_grad_value: float = 0.0) -> Chain:
    """Gradient descent without any state, made to be taken inside backward, where each gradient is freed at once.

        p ← p - η (clip(g) + λp)

        opt = piste.LOMO(model)
        with piste.release_gradients(opt):
            loss(batch).backward()      # the steps happen in here; of gradients one is there at a time
            opt.step()                  # schedules and clocks

    For fine-tuning all weights in little more memory than inference takes: no moments, no gradients beside the one
    being used. The authors' example fine-tunes with lr 0.03 and a clip by the global norm.

    That the step is fused is :func:`piste.release_gradients`, which takes other rules as well: AdamW inside backward
    saves the gradients and keeps the moments. Left out of the authors' code (OpenLMLab/LOMO at 45d4bac): the clip by
    the global norm, which costs them a second backward pass (step as usual with ``clip_by_global_norm`` in a chain of
    your own), and their loss scaling for fp16. ``clip_grad_value`` of 0 does not clip. Equal to that code's step to
    2e-15 over 40 steps in float64.

    Reference: "Full Parameter Fine-tuning for Large Language Models with Limited Resources", Kai Lv, Yuqing Yang,
    Tengxiao Liu, Qinghui Gao, Qipeng Guo, Xipeng Qiu, 2023, https://arxiv.org/abs/2306.09782
    """
    if not clip_grad_value >= 0:
        raise ValueError(f"LOMO: clip_grad_value is at least 0 (which does not clip), got {clip_grad_value}")
    clip = [clip_by_value(clip_grad_value)] if clip_grad_value else []
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*clip, *decay, descend(lr))
