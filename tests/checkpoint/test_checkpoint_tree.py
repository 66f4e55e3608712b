"""Any tree of tensors and plain values goes to JSON and back with its types; what cannot is refused by name."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

from piste.checkpoint._tree import pack, unpack
from tiny import assert_same


def there_and_back(tree):
    data, tensors = pack(tree)
    data = json.loads(json.dumps(data, allow_nan=False))
    return {k: unpack(v, tensors) for k, v in data.items()}


def test_types_and_bits_are_kept():
    tree = {
        "numbers": [0, -(1 << 80), 0.1, -0.0, 5e-324, True, False, None],
        "infinite": (math.inf, -math.inf),
        "text": "η ≤ \ud800 \n",
        "tuples": ((), (1, (2.0,)), [(3,)]),
        "keys": {0: "a", "0": "b", None: {}, (1, 2): [], 1.5: {}},
        "tagged": {"$": "tensor", "key": "no such"},
        "empty": {},
        "counted": Counter({5: 2, 9: 1}),
        "tensors": {"a": torch.randn(2, 3), "deep": [torch.tensor(7, dtype=torch.int64)]},
        "turned": torch.randn(4, 3).T,
        "complex": torch.randn(2, 2, dtype=torch.complex128),
    }
    assert_same(there_and_back(tree), tree)
    assert math.isnan(there_and_back({"x": math.nan})["x"])
    assert math.copysign(1, there_and_back({"x": -0.0})["x"]) == -1


def test_numpy_stays_numpy():
    tree = {
        "a": np.arange(6, dtype=np.int16).reshape(2, 3),
        "big": np.arange(3, dtype=">f8"),
        "n": np.float64(0.1),
    }
    back = there_and_back(tree)
    assert back["a"].dtype == np.int16 and np.array_equal(back["a"], tree["a"])
    assert np.array_equal(back["big"], tree["big"]) and back["n"] == 0.1


def test_ordered_dicts_keep_their_order():
    back = there_and_back({"x": OrderedDict(b=1, a=2)})
    assert list(back["x"]) == ["b", "a"]


def test_what_is_shared_is_kept_once_and_stays_shared():
    t = torch.randn(3, 3)
    data, tensors = pack({"a": t, "b": {"c": t, "half": t[1:]}, "same": t.view(3, 3), "other": t.clone()})
    assert len(tensors) == 3
    back = {k: unpack(v, tensors) for k, v in data.items()}
    assert back["a"] is back["b"]["c"] is back["same"]
    assert torch.equal(back["b"]["half"], t[1:])


def test_names_that_collide_do_not():
    tree = {"a": {"b.c": torch.zeros(1), "b": {"c": torch.ones(1)}}, "a.b": {"c": torch.full((1,), 2.0)}}
    assert_same(there_and_back(tree), tree)


REFUSED = {
    "a function": (lambda: 0, "function"),
    "a module": (torch.nn.Linear(1, 1), "Linear"),
    "a set": ({1}, "set"),
    "a sparse tensor": (torch.eye(2).to_sparse(), "sparse"),
    "a meta tensor": (torch.empty(2, device="meta"), "meta"),
    "an array of objects": (np.array([object()]), "ndarray"),
    "a dtype": (torch.float32, "dtype"),
    "bytes": (b"x", "bytes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_written_is_named(what):
    value, kind = REFUSED[what]
    with pytest.raises(TypeError, match=r"sampler\.1\.inner \(a .*" + kind):
        pack({"fine": 1, "sampler": [0, {"inner": value}]})


def test_many_problems_are_counted():
    with pytest.raises(TypeError, match=r"x\.4 \(a set\) and 3 more"):
        pack({"x": [set() for _ in range(8)]})
