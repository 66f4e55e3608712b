from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from piste._routing import MATRIX_ROLES, RoutingWarning, route, route_bare
from routing import models


def where(assignments) -> dict[str, str]:
    return {a.name: a.to for a in assignments}


BUILDERS = [models.mlp, models.ResNet, models.GPT, models.ViT, models.MoE, models.lora_gpt]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("matrix", [True, False])
def test_every_parameter_is_claimed_exactly_once(build, matrix):
    model = build()
    assignments = route(model, matrix=matrix)
    assert [id(a.parameter) for a in assignments] == [id(p) for p in model.parameters()]
    assert [a.name for a in assignments] == [n for n, _ in model.named_parameters()]
    for a in assignments:
        assert a.to == ("main" if not matrix or a.role.kind in MATRIX_ROLES else "rest")


@pytest.mark.parametrize("build", BUILDERS)
def test_clear_cases_are_silent(build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        route(build(), matrix=True)


def test_embeddings_and_heads_are_not_orthogonalized():
    for model in (models.GPT(), models.GPT(tied=False)):
        assert {where(route(model, matrix=True)).get(n) for n in ("wte.weight", "lm_head.weight")} <= {
            "rest",
            None,
        }


def test_overrides_apply_in_order_and_the_last_word_wins():
    overrides = {
        "*": "rest", "blocks.*.fc?.weight": "main", "blocks.1.*": "rest", "wte.weight": "hidden",
        "blocks.0.mlp.fc1.weight": ["main", "(h d) i -> h d i | h=4"],
    }  # fmt: skip
    found = {a.name: a for a in route(models.GPT(), matrix=True, overrides=overrides)}
    assert {n for n, a in found.items() if a.to == "main"} == {
        "wte.weight", "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"
    }  # fmt: skip
    assert found["blocks.0.mlp.fc1.weight"].view == "(h d) i -> h d i | h=4"
    assert found["wte.weight"].role.kind == "hidden"
    assert "override" in found["wte.weight"].reason


@pytest.mark.parametrize(
    "kind, name, view",
    [
        ("heads", "blocks.0.attn.proj.weight", "(h d) i -> h d i | h=4"),
        ("qkv", "blocks.0.mlp.fc1.weight", None),
        ("qkv", "blocks.0.attn.qkv.weight", "(three o) i -> three o i | three=3"),
        ("hidden", "blocks.0.attn.qkv.weight", None),
        ("experts", "w", "e m n -> e m n"),
    ],
)
def test_a_role_brings_its_view(kind, name, view):
    model = models.GPT(ratio=3)
    model.register_parameter("w", nn.Parameter(torch.randn(3, 4, 5)))
    (found,) = [a for a in route(model, matrix=True, overrides={name: kind}) if a.name == name]
    assert (found.role.kind, found.to) == (kind, "main")
    assert found.view == (view or found.role.view)
    if kind == "hidden":
        assert found.view is None


@pytest.mark.parametrize(
    "overrides, complaint",
    [
        ({"blocks.*.mpl.*": "rest"}, r"'blocks\.\*\.mpl\.\*' matches no parameter; nearest: .*mlp"),
        ({"lm_heat.weight": "rest"}, "nearest: .*lm_head.weight"),
        ({"wte.weight": "man"}, "did you mean 'main'"),
        ({"wte.weight": "embeding"}, "did you mean 'embedding'"),
        (
            {"wte.weight": "(h d) i -> h d i | h=7"},
            r"parameter 'wte\.weight': .* does not fit shape \(50, 16\)",
        ),
        ({"wte.weight": "o i -> o"}, r"parameter 'wte\.weight': .*each axis once"),
        ({"norm.weight": "heads"}, r"parameter 'norm\.weight' .*give the view instead"),
    ],
)
def test_bad_overrides_name_the_remedy(overrides, complaint):
    with pytest.raises(ValueError, match=complaint):
        route(models.GPT(tied=False), matrix=True, overrides=overrides)


def test_a_square_last_layer_is_a_doubt_that_an_override_settles():
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.pooler = nn.Linear(5, 8), nn.Linear(8, 8)

    with pytest.warns(RoutingWarning, match=r"'pooler\.weight' is the last layer, but square .* override"):
        assert where(route(Pooled(), matrix=True))["pooler.weight"] == "main"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            where(route(Pooled(), matrix=True, overrides={"pooler.weight": "head"}))["pooler.weight"]
            == "rest"
        )
        route(Pooled(), matrix=False)


def test_a_fused_projection_of_unknown_heights_warns_and_stays_whole():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(16, 37), nn.Linear(37, 3)

    with pytest.warns(RoutingWarning, match=r"'qkv\.weight' is .* heights of q, k and v are unknown"):
        found = {a.name: a for a in route(Odd(), matrix=True)}
    assert found["qkv.weight"].view is None


def test_an_extreme_matrix_warns():
    model = nn.Sequential(nn.Linear(1, 256), nn.Linear(256, 256), nn.Linear(256, 2))
    with pytest.warns(RoutingWarning, match=r"'0\.weight' \(256, 1\).*override"):
        route(model, matrix=True)


def test_nothing_to_orthogonalize_warns():
    with pytest.warns(RoutingWarning, match="no parameter is a hidden matrix"):
        route(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)), matrix=True)


def test_a_frozen_module_warns_but_a_frozen_part_does_not():
    model = models.GPT()
    model.blocks.requires_grad_(False)
    route(model, matrix=True)
    with pytest.warns(RoutingWarning, match="every parameter is frozen"):
        route(model.requires_grad_(False), matrix=False)


def test_bare_parameters_go_by_dimensions_with_one_warning():
    model = models.ViT()
    with pytest.warns(RoutingWarning, match="pass the module") as caught:
        found = route_bare(model.named_parameters(), matrix=True)
    assert len(caught) == 1
    assert where(found) == {n: "main" if p.ndim > 1 else "rest" for n, p in model.named_parameters()}


def test_bare_parameters_are_silent_where_it_does_not_matter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(where(route_bare(models.ViT().named_parameters(), matrix=False)).values()) == {"main"}
        route_bare([("a", torch.zeros(3))], matrix=True)
        found = route_bare(models.mlp().named_parameters(), True, {"4.weight": "rest"})
    assert where(found)["4.weight"] == "rest"


@pytest.mark.parametrize("flag", ["_is_flat_param", "_fsdp_flattened", "_fqns"])
def test_flattened_parameters_are_refused_by_matrix_optimizers(flag):
    model = models.mlp()
    setattr(model[0].weight, flag, True)
    for attempt in (lambda: route(model, matrix=True), lambda: route_bare(model.named_parameters(), True)):
        with pytest.raises(ValueError, match=r"'0\.weight' was flattened by FSDP1 .*FSDP2"):
            attempt()
    assert len(route(model, matrix=False)) == 6


def test_a_stem_made_a_convolution_keeps_its_view():
    plain = {a.name: a for a in route(models.ViT(), matrix=True)}["patch.weight"]
    found = {a.name: a for a in route(models.ViT(), matrix=True, overrides={"patch.*": "conv"})}[
        "patch.weight"
    ]
    assert (plain.to, found.to) == ("rest", "main")
    assert found.view == plain.view == "o i h w -> o (i h w)"
