"""Scaling laws, fitted so that a reader can check them: `piste fit runs.csv`, or

found = fit("chinchilla", sizes, losses)
found.value("α"), found.bounds("α"), found.held.error
for item in checklist(found): ...
"""

from .checklist import Item as Item
from .checklist import checklist as checklist
from .checklist import warnings as warnings
from .fitting import Fit as Fit
from .fitting import Held as Held
from .fitting import allocate as allocate
from .fitting import fit as fit
from .laws import LAWS as LAWS
from .laws import Law as Law
