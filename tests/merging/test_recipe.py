"""Recipes, from Python and from YAML: what they mean, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging.given import model, three_on_disk
from piste import merging


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    three_on_disk()
    return tmp_path


YAML = """
method: ties
base: 0.safetensors
models:
  - {path: 1.safetensors, weight: 2.0}
  - {path: 2.safetensors, weight: 1}
density: 0.5
tensors:
  "norm.*": {method: soup}
normalize: true
out: merged.safetensors
"""


def test_a_recipe_from_yaml(here):
    Path("recipe.yaml").write_text(YAML)
    recipe, output = merging.load("recipe.yaml")
    assert output == {"out": Path("merged.safetensors")}
    found = merging.Merge(recipe).run()
    base, a, b = (model(i) for i in range(3))
    torch.testing.assert_close(found["norm.weight"], (2 * a["norm.weight"] + b["norm.weight"]) / 3)
    want = merging.merge("ties", [a, b], base=base, weights=[2, 1], normalize=True, density=0.5)
    assert torch.equal(found["a.weight"], want["a.weight"])


def test_paths_are_seen_from_the_recipe(here, monkeypatch):
    Path("recipe.yaml").write_text("method: soup\nmodels: [1.safetensors, 2.safetensors]\n")
    monkeypatch.chdir("/")
    recipe, _ = merging.load(here / "recipe.yaml")
    assert merging.Merge(recipe).run()


@pytest.mark.parametrize("text, said", [
    ("models: [a]", "a recipe is a table with"),
    ("method: soup", "a recipe is a table with"),
    ("method: [", "not YAML"),
    ("method: soup\nmodels: [{paht: a}]", "a model is a path"),
    ("method: soup\nmodels: [{path: a, weight: 1}, b]", "give every model its weight, or none"),
    ("method: soop\nmodels: [a]", "did you mean 'soup'"),
    ("method: soup\nmodels: [a]\ndensty: 1", "soup has no hyperparameter 'densty'"),
    ("method: ties\nbase: c\nmodels: [a]\ndensity: 1.5", "density must be a share over 0 and at most 1"),
    ("method: ties\nmodels: [a]", "ties needs base=.*fine-tuned from"),
    ("method: fisher\nmodels: [a]", "fisher needs statistics=.*fisher_diagonal"),
    ("method: slerp\nmodels: [a]", "slerp merges 2 models; got 1"),
    ("method: soup\nmodels: [{path: a, weight: 0.5}, {path: b, weight: 0.4}]", "must sum to 1; they sum to 0.9"),
    ("method: soup\nmodels: [{path: a, weight: 1}, {path: b, weight: -1}]\nnormalize: true", "sum to 0"),
    ("method: soup\nmodels: [a]\ndtype: int8", "dtype must be one of float32"),
    ("method: soup\nmodels: [a]\ntensors: {'x.*': {method: ties, density: 0}}", r"tensors 'x.\*': ties: density"),
])  # fmt: skip
def test_a_recipe_that_says_nonsense(here, text, said):
    Path("recipe.yaml").write_text(text)
    with pytest.raises((ValueError, KeyError), match=said):
        merging.load("recipe.yaml")


def test_counts_of_weights_and_statistics():
    with pytest.raises(ValueError, match="2 models and 3 weights"):
        merging.merge("soup", [model(0), model(1)], weights=[1, 0, 0])
    with pytest.raises(ValueError, match="2 models and 1 statistics"):
        merging.merge("fisher", [model(0), model(1)], statistics=[model(2)])


def test_statistics_of_what_is_not_trained_are_not_asked_for():
    """Buffers have no gradient: they are merged as if nothing were known of them."""
    seen = [{"a.weight": torch.rand(4, 3)} for _ in range(2)]
    found = merging.merge("fisher", [model(0), model(1)], statistics=seen, by_length=False)
    torch.testing.assert_close(found["norm.weight"], (model(0)["norm.weight"] + model(1)["norm.weight"]) / 2)
    with pytest.raises(merging.Mismatch, match=r"a.weight: in statistics 0, not in statistics 1"):
        merging.merge("fisher", [model(0), model(1)], statistics=[seen[0], {"norm.weight": torch.rand(4)}])
