"""Seeded problems with known facts, by kind."""

from .dictionaries import lifted_dictionary as lifted_dictionary
from .filters import pooled_filter as pooled_filter
from .filters import rectified_filter as rectified_filter
from .games import equilibrium as equilibrium
from .graphs import acyclic_regression as acyclic_regression
from .quadratics import noisy_quadratic as noisy_quadratic
from .quadratics import quadratic as quadratic
from .regression import least_squares as least_squares
from .regression import logistic as logistic
from .scalar import absolute as absolute
from .scalar import rosenbrock as rosenbrock
from .scalar import wavy as wavy
