from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from piste._routing import MATRIX_ROLES, ROLES, Role, matrix_view, roles
from routing import models

COMMON = {
    "*bias*": "bias", "*norm*.weight": "norm", "*gamma": "vector",
    "*.proj.weight": "hidden", "*.fc1.weight": "hidden", "*.fc2.weight": "hidden", "*.qkv.weight": "qkv",
}  # fmt: skip

MODELS = {
    "MLP": (models.mlp, {"0.weight": "hidden", "2.weight": "hidden", "4.weight": "head", "*": "bias"}),
    "ResNet": (
        models.ResNet,
        {
            "*bias": "bias", "*bn?.weight": "norm", "*shortcut.1.weight": "norm", "fc.weight": "head",
            "conv1.weight": "stem", "*": "conv",
        },
    ),
    "ResNet body": (
        lambda: models.ResNet(classes=None, depth=1),
        {"*bias": "bias", "*bn?.weight": "norm", "*shortcut.1.weight": "norm", "conv1.weight": "stem", "*": "conv"},
    ),
    "tied GPT": (models.GPT, {"wte.weight": "tied", "wpe.weight": "position", **COMMON}),
    "untied GPT": (
        lambda: models.GPT(tied=False),
        {"wte.weight": "embedding", "wpe.weight": "position", "lm_head.weight": "head", **COMMON},
    ),
    "one-block GPT, MLP ratio 3": (
        lambda: models.GPT(depth=1, ratio=3),
        {"wte.weight": "tied", "wpe.weight": "position", **COMMON},
    ),
    "ViT": (
        models.ViT,
        {
            "cls_token": "embedding", "pos_embed": "position", "patch.weight": "stem", "head.weight": "head",
            **COMMON,
        },
    ),
    "MoE": (
        models.MoE,
        {
            "embed.weight": "embedding", "*.router.weight": "router", "*.w_in": "experts",
            "*.w_out": "experts",
            "out.weight": "head", **COMMON,
        },
    ),
    "experts in a list": (models.ExpertList, {"gate.weight": "router", **COMMON}),
    "LoRA": (
        models.lora_gpt,
        {
            "wte.weight": "tied", "wpe.weight": "position", "*.qkv.base.weight": "qkv", "*.qkv.down": "lora",
            "*.qkv.up": "lora", **COMMON,
        },
    ),
    "Transformer": (
        lambda: nn.Transformer(16, 4, 2, 2, 32, batch_first=True),
        {"*bias": "bias", "*norm*.weight": "norm", "*in_proj_weight": "qkv", "*": "hidden"},
    ),
    "LSTM": (lambda: nn.LSTM(5, 8, 2), {"bias*": "bias", "*": "hidden"}),
    "hand-written": (
        models.Tokens,
        {
            "token_embeddings.weight": "embedding", "mix.weight": "hidden", "metric": "hidden",
            "temperature": "scalar", "per_head.*": "heads", "lm_head.weight": "head",
        },
    ),
    "batch norm and friends": (
        lambda: nn.Sequential(nn.BatchNorm1d(4), nn.LayerNorm((3, 4)), nn.GroupNorm(2, 4), nn.RMSNorm(4)),
        {"*bias": "bias", "*weight": "norm"},
    ),
    "convolutions": (
        lambda: nn.Sequential(
            nn.ConvTranspose1d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 6, 3), nn.Conv3d(6, 4, 2)
        ),
        {"*bias": "bias", "1.weight": "depthwise", "3.weight": "head", "*": "conv"},
    ),
}  # fmt: skip


def expected_kind(name: str, table: dict[str, str]) -> str:
    return next(kind for pattern, kind in table.items() if fnmatchcase(name, pattern))


@pytest.fixture(params=MODELS, ids=str)
def model_and_table(request):
    build, table = MODELS[request.param]
    return build(), table


def test_kinds(model_and_table):
    model, table = model_and_table
    found = roles(model)
    assert {n: r.kind for n, r in found.items()} == {n: expected_kind(n, table) for n in found}


def test_every_parameter_once_under_its_first_name(model_and_table):
    model, _ = model_and_table
    found = roles(model)
    assert list(found) == [name for name, _ in model.named_parameters()]
    assert {r.kind for r in found.values()} <= set(ROLES)
    assert all(r.reason for r in found.values())


def test_views_fit_and_invert(model_and_table):
    model, _ = model_and_table
    parameters = dict(model.named_parameters())
    for name, role in roles(model).items():
        view, p = matrix_view(role.view, parameters[name].ndim), parameters[name].detach()
        assert torch.equal(view.invert(view.apply(p), p.shape), p)


def test_wrapped_and_renamed_modules_have_the_same_roles(model_and_table):
    model, _ = model_and_table
    plain = {name: (r.kind, r.view) for name, r in roles(model).items()}

    def bare(found: dict[str, Role], prefix: str) -> dict[str, tuple[str, str | None]]:
        return {name.removeprefix(prefix): (r.kind, r.view) for name, r in found.items()}

    assert bare(roles(torch.compile(model)), "_orig_mod.") == plain
    assert bare(roles(models.Wrapper(model)), "module.") == plain
    assert bare(roles(nn.DataParallel(model)), "module.") == plain
    assert bare(roles(models.renamed(model)), "") == plain


def test_roles_are_of_the_module_not_of_its_training_state(model_and_table):
    """Freezing a part (other than an adapter's base) must not change what a matrix is."""
    model, _ = model_and_table
    before = roles(model)
    model.requires_grad_(False)
    assert roles(model) == before


def qkv_of(attention: nn.Module) -> Role:
    return roles(nn.ModuleDict({"blocks": nn.ModuleList([attention])}))["blocks.0.qkv.weight"]


def test_equal_projections_are_a_batch():
    role = qkv_of(models.Attention(16, 4))
    assert role.blocks == (16, 16, 16)
    assert role.view == "(three o) i -> three o i | three=3"


def test_grouped_query_attention_is_cut_into_unequal_heights():
    role = qkv_of(models.Attention(16, 4, kv_heads=2))
    assert role.blocks == (16, 8, 8)
    assert role.view == "o i -> o i | rows=16+8+8"


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_heights_come_from_the_output_projection_without_head_counts(kv_heads):
    attention = models.Attention(16, 4, kv_heads)
    del attention.n_head, attention.n_kv_head
    assert qkv_of(attention).blocks == (16, 4 * kv_heads, 4 * kv_heads)


def test_an_unnamed_projection_is_found_by_structure():
    class Mixer(nn.Module):
        def __init__(self, out: int):
            super().__init__()
            self.a, self.b = nn.Linear(16, out), nn.Linear(16, 16)

    assert roles(Mixer(48))["a.weight"].blocks == (16, 16, 16)
    mlp = models.Mlp(16, ratio=3)  # three times as wide as well, but consumed whole
    assert roles(nn.ModuleList([mlp]))["0.fc1.weight"].blocks is None


def test_inner_width_of_its_own():
    """The output projection may sit in a Sequential and read another width than the stream's."""

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_qkv = nn.Linear(16, 3 * 8, bias=False)
            self.to_out = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.1))

    assert roles(nn.ModuleList([Narrow()]))["0.to_qkv.weight"].blocks == (8, 8, 8)


def test_multihead_attention_is_fused_only_where_it_is():
    same, different = (
        nn.MultiheadAttention(16, 4),
        nn.MultiheadAttention(16, 4, kdim=8, vdim=8, add_bias_kv=True),
    )
    assert roles(same)["in_proj_weight"].blocks == (16, 16, 16)
    found = roles(different)
    assert {found[f"{x}_proj_weight"].kind for x in "qkv"} == {"hidden"}
    assert {found[n].kind for n in ("bias_k", "bias_v", "in_proj_bias", "out_proj.bias")} == {"bias"}


@pytest.mark.parametrize("kind, gates", [(nn.RNN, None), (nn.GRU, 3), (nn.LSTM, 4), (nn.LSTMCell, 4)])
def test_recurrent_gates_are_cut(kind, gates):
    for name, role in roles(kind(5, 8)).items():
        if "weight" in name:
            assert role.blocks == (gates and (8,) * gates)


def test_a_gated_unit_is_cut_in_two():
    class SwiGLU(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w_in, self.w_out = nn.Linear(16, 48, bias=False), nn.Linear(24, 16, bias=False)

    assert roles(nn.ModuleList([SwiGLU()]))["0.w_in.weight"].blocks == (24, 24)
    stack = roles(models.MoE(gated=True))["blocks.0.moe.w_in"]
    assert (stack.kind, stack.blocks) == ("experts", (24, 24))


@pytest.mark.parametrize(
    "conv, view",
    [
        (nn.Conv2d(4, 6, 3), "o i h w -> o (i h w)"),
        (nn.Conv2d(4, 6, 3, groups=2), "(g o) i h w -> g o (i h w) | g=2"),
        (nn.Conv1d(4, 6, 3), "o i k -> o (i k)"),
        (nn.ConvTranspose2d(4, 6, 3), "i o h w -> o (i h w)"),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), "(g i) o h w -> g o (i h w) | g=2"),
    ],
)
def test_convolutions_are_seen_as_out_by_in(conv, view):
    role = roles(nn.Sequential(nn.Conv2d(3, 4, 1), conv, nn.Conv2d(6, 3, 1)))["1.weight"]
    assert (role.kind, role.view) == ("conv", view)
    shapes = matrix_view(role.view, conv.weight.ndim).shapes(conv.weight.shape)
    assert shapes[0][-2] == 6 // conv.groups


def test_a_weight_stored_transposed_is_turned():
    class Conv1D(nn.Module):
        def __init__(self, inp: int, out: int, declared: bool):
            super().__init__()
            if declared:
                self.nf = out
            self.weight, self.bias = nn.Parameter(torch.randn(inp, out)), nn.Parameter(torch.zeros(out))

    for declared in (True, False):
        assert (
            roles(nn.Sequential(Conv1D(8, 12, declared), nn.Linear(12, 2)))["0.weight"].view == "i o -> o i"
        )
    assert roles(nn.Sequential(Conv1D(8, 8, True), nn.Linear(8, 2)))["0.weight"].view == "i o -> o i"
    assert roles(nn.Sequential(models.Weight(12, 8), nn.Linear(8, 2)))["0.weight"].view is None


def test_parametrized_weights_keep_their_roles():
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    parametrizations.weight_norm(model[0])
    parametrizations.spectral_norm(model[1])
    found = {name: role.kind for name, role in roles(model).items() if "bias" not in name}
    assert found == {
        "0.parametrizations.weight.original0": "norm",
        "0.parametrizations.weight.original1": "hidden",
        "1.parametrizations.weight.original": "hidden",
        "2.weight": "head",
    }


def test_shared_hidden_weights_are_hidden_and_shared_tables_embeddings():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.target = nn.Embedding(9, 4), nn.Embedding(9, 4)
            self.target.weight = self.source.weight
            self.a, self.b, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.b.weight = self.a.weight

    found = roles(Shared())
    assert found["source.weight"].kind == "embedding"
    assert found["a.weight"].kind == "hidden"
    assert "b.weight" not in found
    assert "target.weight" not in found


def test_parameter_lists_belong_to_their_module():
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.biases = nn.ParameterList([torch.zeros(3)])
            self.mixes = nn.ParameterDict({"a": torch.randn(3, 4)})

    found = roles(Listed())
    assert found["biases.0"].kind == "bias"
    assert found["mixes.a"].kind == "hidden"


@pytest.mark.parametrize("last", ["ends in a block", "ends in a narrow layer"])
def test_the_last_layer_is_an_output_only_outside_the_blocks(last):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(5, 16)
            self.blocks = nn.ModuleList([models.Mlp(16)])
            if last == "ends in a narrow layer":
                self.classes = nn.Linear(16, 3)

    heads = [name for name, role in roles(Net()).items() if role.kind == "head"]
    assert heads == (["classes.weight"] if last == "ends in a narrow layer" else [])


def test_two_networks_of_one_class_end_in_the_second():
    class Net(nn.Module):
        def __init__(self, *widths: int):
            super().__init__()
            self.first, self.second = nn.Linear(*widths[:2]), nn.Linear(*widths[1:])

    class AutoEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = Net(9, 6, 2), Net(2, 6, 9)

    assert [n for n, r in roles(AutoEncoder()).items() if r.kind == "head"] == ["decoder.second.weight"]


def test_parallel_outputs_and_named_ones_are_all_found():
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(5, 16)
            self.label_classifier = nn.Linear(16, 4)
            self.mean, self.deviation = nn.Linear(16, 2), nn.Linear(16, 2)

    heads = [n for n, r in roles(Detector()).items() if r.kind == "head"]
    assert heads == ["label_classifier.weight", "mean.weight", "deviation.weight"]


def test_low_rank_factors_are_no_matrix_role():
    """Orthogonalizing A and B alone is not steepest descent for BA, and B starts at zero."""
    assert "lora" not in MATRIX_ROLES


def test_an_adapter_by_name_needs_no_frozen_base():
    class Adapted(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 6)
            self.lora_A, self.lora_B = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.zeros(6, 2))

    found = roles(nn.Sequential(Adapted(), nn.Linear(6, 2)))
    assert [found[f"0.{n}"].kind for n in ("weight", "lora_A", "lora_B")] == ["hidden", "lora", "lora"]


def test_a_wrapped_base_keeps_its_place():
    """PEFT's layout: the layer moves to `base_layer`, the factors beside it are modules in dictionaries."""

    class Wrapped(nn.Module):
        def __init__(self, base: nn.Linear):
            super().__init__()
            self.base_layer = base
            self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, 2, bias=False)})
            self.lora_B = nn.ModuleDict({"default": nn.Linear(2, base.out_features, bias=False)})

    model = models.GPT(tied=False, kv_heads=2)
    plain = roles(model)
    for block in model.blocks:
        block.attn.qkv = Wrapped(block.attn.qkv)
        block.mlp.fc1 = Wrapped(block.mlp.fc1)
    model.lm_head = Wrapped(model.lm_head)
    found = roles(model)
    assert {n.replace(".base_layer", ""): r for n, r in found.items() if "lora" not in n} == plain
    assert {r.kind for n, r in found.items() if "lora" in n} == {"lora"}


def test_a_parameter_without_shape_is_refused():
    with pytest.raises(ValueError, match=r"'0\.weight' has no shape yet: run one forward pass"):
        roles(nn.Sequential(nn.LazyLinear(4)))
