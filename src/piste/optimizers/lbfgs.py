"""L-BFGS."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..searches import strong_wolfe
from ..transforms.quasinewton import scale_by_lbfgs


@optimizer
def LBFGS(
    lr: float = 1.0,
    history_size: int = 10,
    c1: float = 1e-4,
    c2: float = 0.9,
    max_ls: int = 25,
    tolerance_grad: float = 1e-7,
    tolerance_change: float = 1e-9,
) -> Chain:
    """The quasi-Newton method of choice for smooth losses on the full batch.

        d = -Hg,  H from the last pairs s = Δw, y = Δg by the two-loop recursion
        w ← w + td,  t by a search for the strong Wolfe conditions that starts at lr

    Needs ``step(closure)`` with the same data at every evaluation of a step, and keeps 2 history_size + 2 copies of the
    weights. For physics-informed networks, small models and fine convergence; mini-batch noise spoils the pairs. Leave
    lr at 1: it is the first step tried (Newton's). Nocedal and Wright take 3 to 20 pairs, torch 100.

    Equal to ``torch.optim.LBFGS(max_iter=1, max_eval=26, line_search_fn="strong_wolfe")``: one step is one iteration.
    (With torch's default max_eval its search stops after one evaluation.) The last point's gradient is evaluated again
    in the next step, where torch hands it on.

    Reference: "On the limited memory BFGS method for large scale optimization", Dong C. Liu, Jorge Nocedal, 1989,
    https://doi.org/10.1007/BF01589116
    Reference: "Updating Quasi-Newton Matrices with Limited Storage", Jorge Nocedal, 1980,
    https://doi.org/10.1090/S0025-5718-1980-0572855-7
    """
    search = strong_wolfe(lr, c1, c2, max_ls, tolerance_grad, tolerance_change)
    return chain(scale_by_lbfgs(history_size), search)
