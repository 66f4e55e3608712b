"""What papers claim of their methods, as experiments that can fail, and the problems these run on.

    piste verify                      # the quick claims: a table of verdicts
    piste verify AMSGrad --cost full  # all of one method
    piste show AMSGrad                # its verdicts, from the committed ledger

A claim is declared beside its experiment::

    @claim("SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=too_far("SGD", 2.5))
    def gradient_descent_halves(method, seed):
        \"\"\"On an L-smooth convex function, f(x_t) - inf f ≤ L ‖x_0 - x*‖² / 2t with the rate 1/L.\"\"\"
        ...
        return worst  # of seen / bound over all t

Importing this package declares all of them.
"""

from . import claims as _declared
from . import problems as problems
from .claim import Claim as Claim
from .claim import Prediction as Prediction
from .claim import at_least as at_least
from .claim import at_most as at_most
from .claim import between as between
from .claim import claim as claim
from .claim import claims as claims
from .claim import equal as equal
from .facts import check as check
from .ledger import of_method as of_method
from .many import fooled as fooled
from .many import sabotaged as sabotaged
from .many import verify as verify
from .problem import Problem as Problem
from .problem import Trace as Trace
from .problem import descend as descend
from .problem import problem as problem
from .verdict import Finding as Finding

del _declared
