"""Laws that every transform and every optimizer must keep, as functions you can run on your own.

    for verdict in piste.laws.check(my_transform): print(verdict)

What the engine may do with a rule follows from what it declared; each declaration is a law here. A law that does not
apply to a rule is not listed.
"""

from ._optimizers import check_optimizer as check_optimizer
from ._rules import check as check
from ._rules import sample as sample
from ._verdict import Verdict as Verdict
