"""Seeded problems with known facts, by kind."""

from .convex import lasso as lasso
from .convex import least_absolute as least_absolute
from .convex import worst_lipschitz as worst_lipschitz
from .convex import worst_smooth as worst_smooth
from .dictionaries import lifted_dictionary as lifted_dictionary
from .filters import pooled_filter as pooled_filter
from .filters import rectified_filter as rectified_filter
from .games import equilibrium as equilibrium
from .graphs import acyclic_regression as acyclic_regression
from .low_rank import covariance_network as covariance_network
from .low_rank import matrix_sensing as matrix_sensing
from .low_rank import robust_sensing as robust_sensing
from .matrices import asymmetric_factors as asymmetric_factors
from .matrices import matrix_completion as matrix_completion
from .nonconvex import bent_regression as bent_regression
from .nonconvex import phase_retrieval as phase_retrieval
from .physics import poisson as poisson
from .quadratics import noisy_quadratic as noisy_quadratic
from .quadratics import quadratic as quadratic
from .regression import least_squares as least_squares
from .regression import logistic as logistic
from .regression import table as table
from .relu import relu_network as relu_network
from .scalar import absolute as absolute
from .scalar import rosenbrock as rosenbrock
from .scalar import wavy as wavy
