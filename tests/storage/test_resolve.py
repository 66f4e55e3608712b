"""What users may ask of storage=, and what they are told."""

from __future__ import annotations

import pytest
import torch

from piste._slots import basis, factor, index, moment, probe, scalar, square, weights
from piste._storage import PRESETS, check, resolve, weight_codec
from piste._storage.resolve import CODECS, WEIGHTS

SLOTS = {"exp_avg": moment, "exp_avg_sq": square, "L": factor, "Q": basis, "z": weights, "count": index,
         "d": scalar, "sharpness": probe, "level": moment("")}  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_touch_moments_and_squares_only(preset):
    touched = {n for n, slot in SLOTS.items() if resolve(preset, n, slot)}
    assert touched == {"exp_avg", "exp_avg_sq"}
    assert weight_codec(preset) is None
    check(preset, SLOTS)


def test_nothing_asked_is_plain():
    assert all(resolve(None, n, slot) is None for n, slot in SLOTS.items()) and weight_codec(None) is None


def test_a_slots_name_goes_before_its_kind_and_prefixes_do_not_matter():
    storage = {"moment": "int8", "exp_avg": "bf16", "square": "int4"}
    assert resolve(storage, "inner.exp_avg", moment).parts((8, 8), "moment") == {"": ((8, 8), torch.bfloat16)}
    assert resolve(storage, "momentum_buffer", moment).name == "int8"
    assert resolve(storage, "exp_avg_sq", square) == resolve({"exp_avg_sq": "int4"}, "exp_avg_sq", square)


@pytest.mark.parametrize("name", ["int8", "int8_dynamic", "int8_linear", "int4"])
def test_squares_and_moments_take_the_codes_made_for_them(name):
    """Only moments have a sign; what is above zero and is divided by never becomes zero."""
    x = torch.linspace(-1, 1, 64 * 64).view(64, 64)
    for key, slot, value in (("exp_avg", moment, x), ("exp_avg_sq", square, x.square())):
        codec = resolve({key: name}, key, slot)
        empty = {k: torch.zeros(s, dtype=d) for k, (s, d) in codec.parts((64, 64), slot.kind).items()}
        back = codec.decode(codec.encode(value, empty)).view(64, 64)
        assert (back.sign() * value.sign() >= 0).all() and (back < 0).any() == (slot is moment)
        assert slot is moment or (back > 0).all()


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_have_codecs_of_their_own(name):
    assert weight_codec({"param": name}).name == name


@pytest.mark.parametrize(
    "name, storage",
    [("count", {"count": "int8"}), ("d", {"d": "bf16"}), ("level", {"level": "int8"}), ("d", {"scalar": "bf16"}),
     ("sharpness", {"probe": "fp16"}), ("count", {"index": "fp32"})],
)  # fmt: skip
def test_what_cannot_bear_a_codec_is_refused_by_name_with_the_remedy(name, storage):
    with pytest.raises(ValueError, match=rf"slot '{name}' is an? .*take '.*' out of storage="):
        resolve(storage, name, SLOTS[name])
    with pytest.raises(ValueError, match=name):
        check(storage, SLOTS)


def test_codecs_of_matrices_are_refused_elsewhere():
    assert resolve({"Q": "eigen4"}, "Q", basis).name == "eigen4"
    assert resolve({"factor": "symmetric"}, "L", factor).name == "symmetric"
    with pytest.raises(
        ValueError, match="'exp_avg' is of kind 'moment', and 'eigen4' stores basis only: choose one of"
    ):
        resolve({"exp_avg": "eigen4"}, "exp_avg", moment)


@pytest.mark.parametrize(
    "storage, hint",
    [("8bits", "did you mean '8bit'"), ({"exp_avg": "int88"}, "did you mean 'int8'"),
     ({"exp_avgs": "int8"}, "did you mean 'exp_avg'"), ({"momnt": "int8"}, "did you mean 'moment'"),
     ({"param": "bf16_kahn"}, "did you mean 'bf16_kahan'")],
)  # fmt: skip
def test_unknown_names_are_met_with_the_nearest(storage, hint):
    with pytest.raises(ValueError, match=hint):
        check(storage, SLOTS)


def test_what_is_not_a_name_is_refused():
    with pytest.raises(ValueError, match="maps slot names or kinds to names of codecs, not 8"):
        check({"exp_avg": 8}, SLOTS)


def test_every_codec_says_its_own_name():
    for name, make in CODECS.items():
        assert make("moment").name == name and make("square").name == name
