"""How a slot or a weight is stored: decode -> arithmetic -> encode. Transforms never see the stored form."""

from .casts import Cast as Cast
from .codec import Codec as Codec
from .codec import Parts as Parts
from .codec import WeightCodec as WeightCodec
from .plain import Plain as Plain
from .plain import compute_dtype as compute_dtype
from .plain import plain as plain
from .resolve import PRESETS as PRESETS
from .resolve import check as check
from .resolve import resolve as resolve
from .resolve import weight_codec as weight_codec
from .weights import uniform_bits as uniform_bits
from .words import QUARTERS as QUARTERS
from .words import Words as Words
