"""Batch sizes that follow the noise in the gradient."""

from .noise_scale import GradientNoiseScale as GradientNoiseScale
from .sampler import AdaptiveBatchSampler as AdaptiveBatchSampler
from .sampler import pieces as pieces
from .sizes import augmented_inner_product_test as augmented_inner_product_test
from .sizes import coordinate_test as coordinate_test
from .sizes import inner_product_test as inner_product_test
from .sizes import norm_test as norm_test
from .sizes import orthogonality_test as orthogonality_test
from .sizes import per_sample_gradients as per_sample_gradients
