"""Seeded problems with known facts, by kind."""

from .matrices import asymmetric_factors as asymmetric_factors
from .matrices import matrix_completion as matrix_completion
from .matrices import robust_sensing as robust_sensing
from .quadratics import noisy_quadratic as noisy_quadratic
from .quadratics import quadratic as quadratic
from .regression import least_squares as least_squares
from .regression import logistic as logistic
from .scalar import absolute as absolute
from .scalar import rosenbrock as rosenbrock
from .scalar import wavy as wavy
