"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import codes as codes
from . import constrained as constrained
from . import descent as descent
from . import dynamics as dynamics
from . import forgetting as forgetting
from . import geometry as geometry
from . import grokking as grokking
from . import identities as identities
from . import interpolation as interpolation
from . import matrices as matrices
from . import merging as merging
from . import modular as modular
from . import noise as noise
from . import operators as operators
from . import particles as particles
from . import physics as physics
from . import physics_networks as physics_networks
from . import schedules as schedules
from . import solutions as solutions
