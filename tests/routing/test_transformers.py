"""Roles in models of `transformers`: random weights, tiny configs, nothing downloaded."""

from __future__ import annotations

import re

import pytest
import torch

from piste._routing import RoutingWarning, matrix_view, roles, route

transformers = pytest.importorskip("transformers")

LLAMA = {
    "vocab_size": 101, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
BERT = {
    "vocab_size": 101, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 20,
}  # fmt: skip
GPT2 = {"vocab_size": 101, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 20}

THIRDS = "(three o) i -> three o i | three=3"
CASES = {
    "GPT2LMHeadModel": (
        GPT2,
        {
            r"wte": "tied", r"wpe": "position", r"ln_\w+\.weight": "norm", r"bias": "bias",
            r"c_attn\.weight": "qkv i (three o) -> three o i | three=3", r"weight": "hidden i o -> o i",
        },
    ),
    "LlamaForCausalLM": (
        LLAMA,
        {r"embed_tokens": "embedding", r"norm": "norm", r"lm_head": "head", r"weight": "hidden"},
    ),
    "BertForMaskedLM": (
        BERT,
        {
            r"word_emb": "tied", r"position_emb": "position", r"type_emb": "embedding",
            r"LayerNorm\.weight": "norm", r"bias": "bias", r"weight": "hidden",
        },
    ),
    "BertForSequenceClassification": (
        BERT,
        {
            r"word_emb|type_emb": "embedding", r"position_emb": "position", r"LayerNorm\.weight": "norm",
            r"bias": "bias", r"classifier": "head", r"weight": "hidden",
        },
    ),
    "GPTNeoXForCausalLM": (
        {k: v for k, v in LLAMA.items() if "key" not in k},
        {
            r"embed_in": "embedding", r"norm\.weight": "norm", r"bias": "bias", r"lm_head|embed_out": "head",
            r"query_key_value": "qkv (g three d) i -> three (g d) i | g=4 three=3", r"weight": "hidden",
        },
    ),
    "Phi3ForCausalLM": (
        {**LLAMA, "pad_token_id": 0},
        {
            r"embed_tokens": "embedding", r"norm": "norm", r"lm_head": "head",
            r"qkv_proj": "qkv o i -> o i | rows=32+16+16",
            r"gate_up_proj": "hidden (two o) i -> two o i | two=2", r"weight": "hidden",
        },
    ),
    "MixtralForCausalLM": (
        {**LLAMA, "num_local_experts": 3},
        {
            r"embed_tokens": "embedding", r"norm": "norm", r"lm_head": "head", r"gate\.weight": "router",
            r"gate_up_proj": "experts e (two f) n -> e two f n | two=2",
            r"down_proj": "experts e m n -> e m n", r"_proj\.weight": "hidden",
        },
    ),
}  # fmt: skip


def build(name: str, config: dict) -> torch.nn.Module:
    model = getattr(transformers, name)
    return model(model.config_class(**config))


@pytest.mark.parametrize("name", CASES)
def test_roles_and_views(name):
    config, table = CASES[name]
    model = build(name, config)
    found = roles(model)
    parameters = dict(model.named_parameters())
    assert list(found) == list(parameters)
    for parameter, role in found.items():
        expected = next(kind for pattern, kind in table.items() if re.search(pattern, parameter))
        kind, _, view = expected.partition(" ")
        assert (parameter, role.kind, role.view) == (parameter, kind, view or None)
        p = parameters[parameter].detach()
        seen = matrix_view(role.view, p.ndim)
        assert torch.equal(seen.invert(seen.apply(p), p.shape), p)


@pytest.mark.parametrize("name", CASES)
def test_clear_models_route_silently(name, recwarn):
    config, _ = CASES[name]
    assert {a.to for a in route(build(name, config), matrix=True)} == {"main", "rest"}
    assert not [w for w in recwarn if issubclass(w.category, RoutingWarning)]


def test_a_body_without_a_head_has_none(recwarn):
    found = roles(build("GPT2Model", {**GPT2, "n_layer": 1, "add_cross_attention": True}))
    assert "head" not in {r.kind for r in found.values()}
    crossed = found["h.0.crossattention.c_attn.weight"]
    assert (crossed.kind, crossed.blocks) == ("qkv", (32, 32))


def test_a_pooler_is_a_doubt():
    with pytest.warns(RoutingWarning, match=r"pooler\.dense\.weight.*square"):
        route(build("BertModel", BERT), matrix=True)
