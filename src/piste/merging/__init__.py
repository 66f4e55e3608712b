"""Merging models: averages, interpolations and sums of weights, tensor by tensor, from disk or in memory."""

from . import rebasin as rebasin
from ._method import method as method
from .curvature import fisher as fisher
from .curvature import gradient_matching as gradient_matching
from .dawin import DaWin as DaWin
from .files import Checkpoint as Checkpoint
from .files import Unreadable as Unreadable
from .fitting import Mismatch as Mismatch
from .linear import model_stock as model_stock
from .linear import slerp as slerp
from .linear import soup as soup
from .linear import task_arithmetic as task_arithmetic
from .linear import wise_ft as wise_ft
from .path import LossPath as LossPath
from .path import loss_path as loss_path
from .pruned import apply_masks as apply_masks
from .pruned import sparse_soup as sparse_soup
from .pruned import swamp as swamp
from .recipe import Recipe as Recipe
from .recipe import load as load
from .running import Merge as Merge
from .running import merge as merge
from .soups import fisher_diagonal as fisher_diagonal
from .soups import greedy_soup as greedy_soup
from .sparse import dare as dare
from .sparse import ties as ties
