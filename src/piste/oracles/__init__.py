"""Where the slope comes from. Without an oracle in the chain it is what the user's ``backward`` left in ``p.grad``."""

from .backprop import backprop as backprop
from .extragradient import extragradient as extragradient
from .fisher import drawn_labels as drawn_labels
from .hutchinson import hutchinson as hutchinson
from .hutchinson import hutchinson_and_secant as hutchinson_and_secant
from .hutchinson import sampled_fisher as sampled_fisher
from .hutchinson import spatial_hutchinson as spatial_hutchinson
from .medians import sample_median as sample_median
from .newton import extreme_subspace as extreme_subspace
from .newton import hessian as hessian
from .newton import newton as newton
from .newton import symmetric_polynomial as symmetric_polynomial
from .prox_linear import prox_linear as prox_linear
from .proximal_point import proximal_point as proximal_point
from .quasar import between as between
from .recursive import recursive as recursive
from .residuals import levenberg_marquardt as levenberg_marquardt
from .sam import sam as sam
from .spider import spider as spider
