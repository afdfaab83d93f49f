"""Factors that ``parameters.py`` moves from one weight into another change no score and no value.

Attention of one layer is computed twice in float64: from the checkpoint's tensors as DeepSeek's formulas use them, and from
the graph's parameters, integer codes multiplied out, as the graph uses them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import TARGETS
from youtu_onnx.exporters.passes.linear import quantized_names
from youtu_onnx.exporters.weights import builder
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import cache_layout
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.moved import row_scales
from youtu_onnx.families.youtu.graph.parameters import parameters

ATTENTION, LAYER = "model.layers.0.self_attn.", "model.layers.0."
TOKENS = 11
CONFIGS: dict[str, dict[str, Any]] = {
    name: CONFIG | VARIANTS[name] for name in ("default", "yarn", "no q_lora", "attention bias", "half-split rope")
}
CONFIGS["bias without q_lora"] = CONFIG | VARIANTS["no q_lora"] | VARIANTS["attention bias"]


INT8 = Recipe("int8")


def form(a: Architecture, cache: str, recipe: Recipe = INT8) -> GraphForm:
    return GraphForm.of(cache_layout(a, cache), recipe, TARGETS["cpu"])


def built(a: Architecture, tensors: dict[str, Tensor], cache: str = "latent-int8", recipe: Recipe = INT8) -> dict[str, Tensor]:
    """Name of a parameter of the first layer → its numbers."""
    build = builder(tensors.__getitem__)
    return {
        name.removeprefix(LAYER): build(parameter).double()
        for name, parameter in parameters(a, form(a, cache, recipe)).items()
        if name.startswith(LAYER)
    }


def normalised(x: Tensor, gain: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain.double()


def linear(x: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    bias = tensors.get(f"{name}.bias")
    return x @ tensors[f"{name}.weight"].double().T + (0 if bias is None else bias.double())


def rotated(x: Tensor, *, interleaved: bool) -> Tensor:
    """Pairs of ``[…,S,R]`` as complex numbers, turned by an angle for each position and pair."""
    real, imaginary = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    angles = torch.arange(TOKENS).double()[:, None] * 10.0 ** -torch.arange(real.shape[-1]).double()
    return torch.complex(real, imaginary) * torch.polar(torch.ones_like(angles), angles)


def products(q_nope: Tensor, q_rope: Tensor, k_nope: Tensor, k_rope: Tensor, *, interleaved: bool) -> Tensor:
    """``[H,S,N]``, ``[H,S,R]``, ``[H,S,N]``, ``[S,R]`` → scores ``[H,S,S]``."""
    q, k = (rotated(x, interleaved=interleaved) for x in (q_rope, k_rope))
    return q_nope @ k_nope.mT + (q @ k.conj().mT).real


def of_checkpoint(a: Architecture, tensors: dict[str, Tensor], x: Tensor, kv_b: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scores ``[H,S,S]`` and values ``[H,S,V]``; ``kv_b`` takes the place of the checkpoint's."""
    layer = {name.removeprefix(LAYER): tensor for name, tensor in tensors.items()}
    hidden = normalised(x, layer["input_layernorm.weight"])
    if a.q_lora_rank is None:
        q = hidden @ layer["self_attn.q_proj.weight"].double().T
    else:
        q = normalised(linear(hidden, layer, "self_attn.q_a_proj"), layer["self_attn.q_a_layernorm.weight"])
        q = linear(q, layer, "self_attn.q_b_proj")
    q_nope, q_rope = q.view(TOKENS, a.num_attention_heads, -1).transpose(0, 1).split([a.qk_nope_head_dim, a.qk_rope_head_dim], -1)
    c_kv, k_rope = linear(hidden, layer, "self_attn.kv_a_proj_with_mqa").split([a.kv_lora_rank, a.qk_rope_head_dim], -1)
    c_kv = normalised(c_kv, layer["self_attn.kv_a_layernorm.weight"])
    kv = c_kv @ (layer["self_attn.kv_b_proj.weight"] if kv_b is None else kv_b).double().T
    k_nope, value = kv.view(TOKENS, a.num_attention_heads, -1).transpose(0, 1).split([a.qk_nope_head_dim, a.v_head_dim], -1)
    return products(q_nope, q_rope, k_nope, k_rope, interleaved=a.rope_interleave) * a.softmax_scale, value


def of_graph(a: Architecture, made: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The same from the graph's parameters; RoPE's pairs are halves there, and scales are in the query."""
    heads = a.num_attention_heads
    nope, rope = heads * a.qk_nope_head_dim, heads * a.qk_rope_head_dim
    fused = linear(normalised(x, made["input_layernorm.weight"]), made, "self_attn.qkv_a_proj")
    q, c_kv, k_rope = fused.split([a.q_lora_rank or nope + rope, a.kv_lora_rank, a.qk_rope_head_dim], -1)
    if a.q_lora_rank is not None:
        q = linear(normalised(q, made["self_attn.q_a_layernorm.weight"]), made, "self_attn.q_b_proj")
    q_nope, q_rope = (part.view(TOKENS, heads, -1).transpose(0, 1) for part in q.split([nope, rope], -1))
    c_kv = normalised(c_kv, made["self_attn.kv_a_layernorm.weight"])
    k_nope = c_kv @ made["self_attn.heads.w_uk_q8"].transpose(2, 3).reshape(heads, a.kv_lora_rank, -1)
    value = c_kv @ made["self_attn.heads.w_uv_q8"] * made["self_attn.heads.w_uv_scales"]
    return products(q_nope, q_rope, k_nope, k_rope, interleaved=False), value


def stored(a: Architecture, tensors: dict[str, Tensor], *, gain: bool) -> Tensor:
    """kv_b_proj as its int8 rows say it: rounded with the latent's gain and its channels' sizes in it, where they were
    moved there."""
    weight = tensors[f"{ATTENTION}kv_b_proj.weight"].double()
    factor = torch.ones(a.kv_lora_rank).double()
    if gain:
        factor = tensors[f"{ATTENTION}kv_a_layernorm.weight"].double() * latent_sizes(a, tensors)
    scaled = weight * factor
    scale = scaled.abs().amax(-1, keepdim=True) / 127
    return torch.where(
        factor == 0, 0, (scaled / torch.where(scale == 0, 1, scale)).round() * scale / torch.where(factor == 0, 1, factor)
    )


def latent_sizes(a: Architecture, tensors: dict[str, Tensor]) -> Tensor:
    """``[L]``: halves of the root mean squares of the normalised latent's channels, for inputs without direction."""
    layer = {name.removeprefix(LAYER): tensor.double() for name, tensor in tensors.items() if name.startswith(LAYER)}
    covariance = torch.diag(layer["input_layernorm.weight"].square())
    weight = layer["self_attn.kv_a_proj_with_mqa.weight"][: a.kv_lora_rank]
    squares = torch.diagonal(weight @ covariance @ weight.T)
    if a.attention_bias:
        squares = squares + layer["self_attn.kv_a_proj_with_mqa.bias"][: a.kv_lora_rank].square()
    return (squares / squares.mean()).sqrt() / 2


def near(one: Tensor, other: Tensor, share: float) -> None:
    assert torch.isfinite(one).all() and torch.isfinite(other).all()
    assert (one - other).abs().max() <= share * other.abs().max()


def hidden(a: Architecture) -> Tensor:
    return torch.randn(TOKENS, a.hidden_size, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("cache", ["latent", "latent-int8"])
@pytest.mark.parametrize("name", CONFIGS)
def test_scores_and_values_are_those_of_the_checkpoint(name: str, cache: str) -> None:
    a, tensors = Architecture.from_config(CONFIGS[name]), random_tensors(CONFIGS[name])
    made, x = built(a, tensors, cache), hidden(a)
    exactly = of_checkpoint(a, tensors, x, stored(a, tensors, gain=cache == "latent-int8"))
    about = of_checkpoint(a, tensors, x)
    for found, same, near_to in zip(of_graph(a, made, x), exactly, about, strict=True):
        near(found, same, 1e-5)  # but for float32 in the parameters
        near(found, near_to, 0.02)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_cached_row_of_bytes_has_one_size(name: str) -> None:
    """Its scale serves all channels: no rotated pair's root mean square is far from 1, and no latent channel's from 2, whatever
    weights and biases they are made of."""
    config = CONFIGS[name]
    a, tensors = Architecture.from_config(config), random_tensors(config)
    weight = tensors[f"{ATTENTION}kv_a_proj_with_mqa.weight"]
    weight *= 30 * torch.linspace(1, 5, len(weight))[:, None]
    tensors[f"{ATTENTION}kv_a_layernorm.weight"] *= 50
    if a.attention_bias:
        tensors[f"{ATTENTION}kv_a_proj_with_mqa.bias"] *= torch.linspace(0, 1000, len(weight))
    made = built(a, tensors)
    x = torch.randn(4000, a.hidden_size, generator=torch.Generator().manual_seed(2)).double()
    projected = linear(normalised(x, made["input_layernorm.weight"]), made, "self_attn.qkv_a_proj")
    half = a.qk_rope_head_dim // 2
    k_rope = projected[:, -a.qk_rope_head_dim :]
    sizes = ((k_rope[:, :half].square() + k_rope[:, half:].square()) / 2).mean(0).sqrt()
    assert ((sizes > 0.9) & (sizes < 1.1)).all()
    c_kv = normalised(projected[:, -a.latent_dim : -a.qk_rope_head_dim], made["self_attn.kv_a_layernorm.weight"])
    sizes = c_kv.square().mean(0).sqrt()
    assert ((sizes > 1.7) & (sizes < 2.3)).all()
    assert built(a, tensors, "latent")["self_attn.kv_a_layernorm.weight"].equal(
        tensors[f"{ATTENTION}kv_a_layernorm.weight"].double()
    ), "a float cache moves no gain"


@pytest.mark.parametrize("why", ["gain", "columns"])
def test_a_channel_that_nobody_reads_is_not_cached(why: str) -> None:
    """However large it is: models may have channels for the norm's sake, which would leave the others few of a byte's steps."""
    config = CONFIGS["attention bias"]
    a, tensors = Architecture.from_config(config), random_tensors(config)
    tensors[f"{ATTENTION}kv_a_proj_with_mqa.bias"][3:7] = 1000
    if why == "gain":
        tensors[f"{ATTENTION}kv_a_layernorm.weight"][3:7] = 0
    else:
        tensors[f"{ATTENTION}kv_b_proj.weight"][:, 3:7] = 0
    norm = built(a, tensors)["self_attn.kv_a_layernorm.weight"]
    assert (norm[3:7] == 0).all()
    assert (norm != 0).sum() == a.kv_lora_rank - 4


@pytest.mark.parametrize("change", ["gain", "negative gain", "W_UK", "head", "pair", "rope", "input gain"])
@pytest.mark.parametrize("name", ["default", "no q_lora"])
def test_zeros_are_divided_by_nowhere(name: str, change: str) -> None:
    a, tensors = Architecture.from_config(CONFIGS[name]), random_tensors(CONFIGS[name])
    gain, kv_b = tensors[f"{ATTENTION}kv_a_layernorm.weight"], tensors[f"{ATTENTION}kv_b_proj.weight"]
    rope = tensors[f"{ATTENTION}kv_a_proj_with_mqa.weight"][a.kv_lora_rank :]
    match change:
        case "gain":
            gain[::3] = 0
        case "negative gain":
            gain[::2] *= -1
        case "W_UK":
            kv_b[1:5] = 0
        case "head":
            kv_b[: a.qk_nope_head_dim + a.v_head_dim] = 0
        case "pair":
            rope[2:4] = 0
        case "rope":
            rope[:] = 0
        case "input gain":
            tensors[f"{LAYER}input_layernorm.weight"][::2] = 0
    made, x = built(a, tensors), hidden(a)
    assert all(torch.isfinite(tensor).all() and np.isfinite(tensor.float().numpy()).all() for tensor in made.values())
    for found, expected in zip(of_graph(a, made, x), of_checkpoint(a, tensors, x, stored(a, tensors, gain=True)), strict=True):
        near(found, expected, 1e-5)


def test_a_pair_of_tiny_rows_grows_by_64_at_most() -> None:
    a, tensors = Architecture.from_config(CONFIG), random_tensors(CONFIG)
    tensors[f"{ATTENTION}kv_a_proj_with_mqa.weight"][a.kv_lora_rank : a.kv_lora_rank + 2] *= 1e-9
    as_they_are, divided = (
        built(a, tensors, cache)["self_attn.qkv_a_proj.weight"][-a.qk_rope_head_dim :] for cache in ("latent", "latent-int8")
    )
    growth = divided / as_they_are
    assert float(growth[0].amax()) == pytest.approx(64 * float(growth.amin()), rel=1e-3)


def test_scales_are_those_of_rows() -> None:
    weight = torch.tensor([[3.0, -127.0], [0.0, 0.0], [1e-38, 0.0]])
    assert row_scales(weight).tolist()[0] == 1
    assert (row_scales(weight) > 0).all()


@pytest.mark.parametrize(
    ("pattern", "eight"),
    [
        ("*.kv_a_proj_with_mqa", {"self_attn.qkv_a_proj.weight"}),
        ("*.kv_a_layernorm", set()),
        ("*.kv_b_proj", set()),
        ("*.input_layernorm", set()),
        ("*.q_b_proj", {"self_attn.q_b_proj.weight"}),
        ("*.q_a_proj", {"self_attn.qkv_a_proj.weight"}),
    ],
)
@pytest.mark.parametrize("cache", ["latent", "latent-int8"])
def test_an_exception_is_for_the_matrix_that_it_names(pattern: str, eight: set[str], cache: str) -> None:
    """And not for those that take a factor from it."""
    a, recipe = Architecture.from_config(CONFIG), Recipe("int4", 32, int8=(pattern,))
    stored_as = {
        name.removeprefix(LAYER): recipe.storage(quantized_names(name, parameter.tensors), parameter.shape[-1])
        for name, parameter in parameters(a, form(a, cache, recipe)).items()
        if parameter.kind == "matrix" and name.startswith(LAYER)
    }
    assert {name for name, storage in stored_as.items() if storage is not None and storage.bits == 8} == eight


def test_factors_are_taken_from_what_they_are_made_of() -> None:
    """Each source changes what it should, and nothing else."""
    a, tensors = Architecture.from_config(CONFIG), random_tensors(CONFIG)
    before = built(a, tensors)
    for source, changed in (
        ("self_attn.kv_b_proj.weight", {"q_b_proj", "heads"}),
        ("self_attn.kv_a_layernorm.weight", {"q_b_proj", "heads"}),
        ("self_attn.kv_a_proj_with_mqa.weight", {"q_b_proj", "qkv_a_proj", "kv_a_layernorm", "heads"}),
        ("input_layernorm.weight", {"q_b_proj", "qkv_a_proj", "input_layernorm", "kv_a_layernorm", "heads"}),
    ):
        others = dict(tensors)
        others[LAYER + source] = tensors[LAYER + source] * torch.linspace(0.5, 3, len(tensors[LAYER + source])).view(
            -1, *[1] * (tensors[LAYER + source].ndim - 1)
        )
        after = built(a, others)
        assert {name.removeprefix("self_attn.").split(".")[0] for name in after if not after[name].equal(before[name])} == changed
