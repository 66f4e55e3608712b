from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from piste._routing import MatrixView, default_view, matrix_view

VIEWS = {
    "o i -> o i": (6, 5),
    "i o -> o i": (5, 6),
    "-> 1 1": (),
    "n -> 1 n": (7,),
    "1 n d -> n d": (1, 4, 3),
    "o i h w -> o (i h w)": (6, 3, 2, 2),
    "(g o) i h w -> g o (i h w) | g=2": (6, 3, 2, 2),
    "(three h) i -> three h i | three=3": (12, 5),
    "i (three o) -> three o i | three=3": (5, 12),
    "(g three d) i -> three (g d) i | g=2 three=3": (12, 5),
    "e (two f) d -> e two f d | two=2": (3, 8, 5),
    "m h n -> h m n": (4, 3, 5),
    "o i -> o i | rows=4+2+2": (8, 3),
    "i o -> o i | rows=4+2+2": (3, 8),
    "(g r d) i -> (r g d) i | g=2 r=4 rows=8+4+4": (16, 3),
}


def matrices(view: MatrixView, t: Tensor) -> list[Tensor]:
    seen = view.apply(t)
    return [seen] if isinstance(seen, Tensor) else seen


@pytest.mark.parametrize("text, shape", VIEWS.items())
def test_inverts_exactly_and_keeps_every_entry(text, shape):
    view, t = MatrixView.parse(text), torch.randn(shape)
    seen = matrices(view, t)
    assert all(m.ndim >= 2 for m in seen)
    assert [tuple(m.shape) for m in seen] == view.shapes(shape)
    assert torch.equal(view.invert(view.apply(t), shape), t)
    entries = torch.cat([m.reshape(-1) for m in seen])
    assert torch.equal(entries.sort().values, t.reshape(-1).sort().values)


@given(
    heads=st.integers(1, 4), groups=st.integers(1, 3), size=st.integers(1, 5), inner=st.integers(1, 6),
    transposed=st.booleans(), data=st.data(),
)  # fmt: skip
def test_inverts_for_any_sizes(heads, groups, size, inner, transposed, data):
    rows = [heads * groups * size, groups * size, groups * size]
    pattern = "i o -> o i" if transposed else "o i -> o i"
    cut = data.draw(st.booleans())
    view = (
        MatrixView(pattern, rows=tuple(rows)) if cut else MatrixView.parse(f"(g o) i -> g o i | g={groups}")
    )
    shape = (inner, sum(rows)) if transposed and cut else (sum(rows), inner)
    t = torch.randn(shape)
    assert torch.equal(view.invert(view.apply(t), shape), t)


@pytest.mark.parametrize("ndim", range(6))
def test_default_view_keeps_the_first_dimension(ndim):
    shape = (2, 3, 1, 4, 2)[:ndim]
    t = torch.randn(shape)
    expected = t.reshape(1, -1) if ndim < 2 else t.reshape(shape[0], -1)
    assert torch.equal(matrices(default_view(ndim), t)[0], expected)
    assert torch.equal(default_view(ndim).invert(expected, shape), t)
    assert matrix_view(None, ndim) == default_view(ndim)


def test_fused_rows_are_the_projections():
    q, k, v = torch.randn(8, 5), torch.randn(4, 5), torch.randn(4, 5)
    seen = MatrixView.parse("o i -> o i | rows=8+4+4").apply(torch.cat([q, k, v]))
    assert all(torch.equal(a, b) for a, b in zip(seen, (q, k, v)))


def test_interleaved_heads_are_gathered():
    """GPT-NeoX's layout: for each head its query, key and value."""
    q, k, v = (torch.randn(2, 3, 5) for _ in range(3))  # heads, size, in
    fused = torch.cat([q, k, v], dim=1).reshape(18, 5)
    seen = MatrixView.parse("(g three d) i -> three (g d) i | g=2 three=3").apply(fused)
    assert torch.equal(seen, torch.stack([x.reshape(6, 5) for x in (q, k, v)]))


@pytest.mark.parametrize("text, shape", VIEWS.items())
def test_gradients_pass(text, shape):
    view, t = MatrixView.parse(text), torch.randn(shape, dtype=torch.float64, requires_grad=True)
    seen = view.apply(t)
    squared = seen.square() if isinstance(seen, Tensor) else [m.square() for m in seen]
    view.invert(squared, shape).sum().backward()
    assert torch.allclose(t.grad, 2 * t.detach())


@pytest.mark.parametrize("text", ["o i -> o i | rows=4+4", "i o -> o i", "(two o) i -> two o i | two=2"])
def test_no_copy(text):
    t = torch.randn(8, 8)
    for m in matrices(MatrixView.parse(text), t):
        assert m.untyped_storage().data_ptr() == t.untyped_storage().data_ptr()


@pytest.mark.parametrize("text", VIEWS)
def test_text_is_the_whole_view(text):
    view = MatrixView.parse(text)
    assert str(view) == text
    assert MatrixView.parse(str(view)) == view
    assert pickle.loads(pickle.dumps(view)) == view


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("o i", "has no '->'"),
        ("o i -> o", "each axis once"),
        ("o i -> (o i)", "at least two axes"),
        ("o o -> o o", "each axis once"),
        ("o ... -> o ...", "names, 1 and parentheses"),
        ("o i -> o i | h=3", "unknown axes"),
        ("o i -> o i | rows=0+8", "positive"),
        ("o i -> o i | rows", "cannot read 'rows'"),
        ("(h d) i -> h d i | h=-2", "cannot read 'h=-2'"),
    ],
)
def test_malformed_views_say_why(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        MatrixView.parse(text)


@pytest.mark.parametrize(
    "text, shape",
    [
        ("o i -> o i", (2, 3, 4)),
        ("(h d) i -> h d i | h=5", (12, 3)),
        ("o i -> o i | rows=4+2", (8, 3)),
        ("(h d) i -> h d i", (12, 3)),
    ],
)
def test_a_view_that_does_not_fit_names_the_shape(text, shape):
    with pytest.raises(ValueError, match=r"does not fit shape \("):
        MatrixView.parse(text).shapes(shape)


def test_inverting_to_another_shape_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        MatrixView.parse("o i h w -> o (i h w)").invert(torch.randn(2, 6), (2, 6))
