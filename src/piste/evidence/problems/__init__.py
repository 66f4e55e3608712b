"""Seeded problems with known facts, by kind."""

from .nets import valley as valley
from .quadratics import noisy_quadratic as noisy_quadratic
from .quadratics import quadratic as quadratic
from .regression import least_squares as least_squares
from .regression import logistic as logistic
from .scalar import absolute as absolute
from .scalar import rosenbrock as rosenbrock
from .scalar import wavy as wavy
