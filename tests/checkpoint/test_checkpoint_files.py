"""Files that know whether they are whole: every single change is found, and others can read them."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from piste.checkpoint import _files
from piste.checkpoint._files import DTYPES, Damaged, fold, from_safetensors, read, to_safetensors, write


def tensors():
    torch.manual_seed(0)
    made = {str(d): (torch.rand(3, 5) * 9).to(d) for d in DTYPES.values()}
    return {**made, "one": torch.tensor(2.5), "none": torch.empty(0, 4), "turned": torch.randn(4, 3).T}


def test_what_is_written_is_safetensors_and_comes_back_bit_by_bit(tmp_path):
    path, given = tmp_path / "a.safetensors", tensors()
    back = from_safetensors(read(path, write(path, to_safetensors(given))))
    others = load_file(path)
    assert set(back) == set(others) == set(given)
    for key, t in given.items():
        for found in (back[key], others[key]):
            assert found.dtype == t.dtype and found.shape == t.shape
            assert (
                torch.equal(found.view(torch.uint8), t.contiguous().view(torch.uint8))
                if t.dim()
                else found == t
            )


def test_the_sum_does_not_depend_on_how_the_bytes_came(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "CHUNK", 8192)
    data = np.random.default_rng(0).integers(0, 256, 50_001, dtype=np.uint8).tobytes()
    cuts = [[data], [data[:7], data[7:]], [data[i : i + 5000] for i in range(0, len(data), 5000)]]
    written = [write(tmp_path / str(i), pieces) for i, pieces in enumerate(cuts)]
    assert len({*written}) == 1
    for i, said in enumerate(written):
        assert read(tmp_path / str(i), said).numpy().tobytes() == data


def test_a_write_that_takes_less_than_it_was_given_goes_on(tmp_path, monkeypatch):
    class Slow:
        """A disk that takes 1000 bytes at a time."""

        def __init__(self, file):
            self.file = file
            self.fileno = file.fileno

        def write(self, data):
            return self.file.write(data[:1000])

    @contextmanager
    def slow(*args, **kwargs):
        with open(*args, **kwargs) as file:
            yield Slow(file)

    monkeypatch.setattr(_files, "open", slow, raising=False)
    said = write(tmp_path / "a", [bytes(range(256)) * 50])
    monkeypatch.undo()
    assert read(tmp_path / "a", said).numpy().tobytes() == bytes(range(256)) * 50


@given(st.integers(0, 20_000), st.integers(1, 255))
def test_a_change_within_a_word_is_always_seen(at, change):
    data = np.random.default_rng(1).integers(0, 256, 20_001, dtype=np.uint8)
    before = fold(data, 0)
    data[at] ^= change
    assert fold(data, 0) != before


@given(st.integers(0, 2499), st.integers(0, 2499))
def test_words_that_change_places_are_seen(i, j):
    words = np.random.default_rng(2).integers(0, 2**63, 2500, dtype=np.uint64)
    before = fold(words.view(np.uint8), 0)
    words[[i, j]] = words[[j, i]]
    assert (fold(words.view(np.uint8), 0) == before) == (i == j)


def test_blocks_that_change_places_or_are_lost_are_seen():
    data = np.random.default_rng(3).integers(0, 256, 1 << 15, dtype=np.uint8)
    before = fold(data, 0)
    for length in (512, 4096, 8192):
        moved, lost = data.copy(), data.copy()
        moved[:length], moved[-length:] = data[-length:], data[:length]
        lost[length : 2 * length] = 0
        assert before not in (fold(moved, 0), fold(lost, 0))


def test_a_file_of_another_length_says_so(tmp_path):
    said = write(tmp_path / "a", [b"12345678"])
    (tmp_path / "a").write_bytes(b"1234567")
    with pytest.raises(Damaged, match="a: 7 bytes, of 8 written"):
        read(tmp_path / "a", said)
    with pytest.raises(Damaged, match="b: No such file"):
        read(tmp_path / "b", said)
