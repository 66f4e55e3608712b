"""How large a learning rate may be: tests, estimates and rules."""

from .curvature import HessianFreeRate as HessianFreeRate
from .curvature import LanczosRate as LanczosRate
from .curvature import lanczos_rate as lanczos_rate
from .range_test import RangeTest as RangeTest
from .range_test import range_test as range_test
from .rules import scaled_lr as scaled_lr
from .rules import step_law as step_law
from .shapes import ShapeLaw as ShapeLaw
from .shapes import best_shape as best_shape
