"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import codes as codes
from . import constrained as constrained
from . import descent as descent
from . import dynamics as dynamics
from . import eigenvectors as eigenvectors
from . import filters as filters
from . import games as games
from . import geometry as geometry
from . import graphs as graphs
from . import identities as identities
from . import matrices as matrices
from . import noise as noise
from . import schedules as schedules
from . import sparse as sparse
