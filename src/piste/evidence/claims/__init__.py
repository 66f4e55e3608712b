"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import budgets as budgets
from . import codes as codes
from . import constrained as constrained
from . import convex_nets as convex_nets
from . import descent as descent
from . import dynamics as dynamics
from . import geometry as geometry
from . import halving as halving
from . import identities as identities
from . import matrices as matrices
from . import noise as noise
from . import refits as refits
from . import scaling as scaling
from . import schedules as schedules
