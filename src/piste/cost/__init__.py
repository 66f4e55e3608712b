"""What an optimizer will cost: bytes of weights, gradients and state, flops, bytes moved and bytes sent, for a model on
a mesh of ranks, before anything is allocated or started. See docs/scale.md for the equations.

    with torch.device("meta"):
        model = make_model()
    plan = piste.cost.plan(piste.Muon(model), "dp=64,tp=8")
    print(piste.cost.memory(plan))  # bytes by role
    print(piste.cost.ranks(plan))  # what the busiest ranks hold, do and send
"""

from ._mesh import Mesh as Mesh
from ._plan import Cost as Cost
from ._plan import Plan as Plan
from ._plan import plan as plan
from ._words import memory as memory
from ._words import ranks as ranks
