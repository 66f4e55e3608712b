"""The vocabulary: pure functions of one tensor, by theme."""

from .adaptive import scale_by_adagrad as scale_by_adagrad
from .adaptive import scale_by_adam as scale_by_adam
from .adaptive import scale_by_adamax as scale_by_adamax
from .adaptive import scale_by_adamax_paper as scale_by_adamax_paper
from .adaptive import scale_by_amsgrad as scale_by_amsgrad
from .adaptive import scale_by_amsgrad_paper as scale_by_amsgrad_paper
from .adaptive import scale_by_centered_rms as scale_by_centered_rms
from .adaptive import scale_by_debiased_rms as scale_by_debiased_rms
from .adaptive import scale_by_rms as scale_by_rms
from .averaging import ema_weights as ema_weights
from .averaging import lookahead as lookahead
from .averaging import schedule_free as schedule_free
from .averaging import swa as swa
from .clipping import clip_by_global_norm as clip_by_global_norm
from .clipping import clip_by_unit_norm as clip_by_unit_norm
from .clipping import clip_by_value as clip_by_value
from .decay import decay_weights as decay_weights
from .decay import descend as descend
from .layerwise import scale_by_trust_ratio as scale_by_trust_ratio
from .momentum import ema as ema
from .momentum import trace as trace
from .sign import scale_by_lion as scale_by_lion
from .spectral import match_rms as match_rms
from .spectral import orthogonalize as orthogonalize
from .spectral import spectral_scale as spectral_scale
