"""Youtu's cache, in two forms of the same attention.

- ``latent``: the normalised ``c_kv`` and the rotated ``k_rope`` of a token, side by side, one row of
  ``kv_lora_rank + qk_rope_head_dim`` numbers shared by all heads. Two layers share one key/value pair, because
  onnxruntime-genai insists that key and value of a pair have one shape: ``key`` is layer 2i, ``value`` layer 2i + 1.
  With an odd number of layers the last ``value`` is a copy of its ``key`` that nothing reads. Its variants keep the row in fewer
  bytes than the graph computes with: ``latent-fp16`` in half-precision numbers, and ``latent-int8`` as unsigned bytes around 128,
  of which the lowest bits of the first eight are the logarithm of the row's scale.
- ``expanded``: every head's key and value, as ordinary attention caches them: 5120 numbers against 576.
"""

from __future__ import annotations

from youtu_onnx.core.cache import UNUSED, CacheLayout, CacheTensor
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.youtu.architecture import Architecture

LATENT, LATENT_FP16, LATENT_INT8, EXPANDED = "latent", "latent-fp16", "latent-int8", "expanded"
STORED = {LATENT_FP16: "float16", LATENT_INT8: "uint8"}
"""dtypes of the latent's variants, whatever the graph's floats are. Their layouts have the form ``latent``."""
CACHE_FORMS = (LATENT, LATENT_FP16, LATENT_INT8, EXPANDED)
"""What a user chooses."""
EXPANDS_FROM = 64
"""New tokens of a step from which a graph of both orders of attention expands keys and values: there the products saved
outweigh those of the expansion."""
SCALE_BITS = 8
"""Bytes of a row of ``latent-int8`` that lend their lowest bit to the row's scale."""


def cache_layout(architecture: Architecture, form: str, dtype: str = "float32", length: int | None = None) -> CacheLayout:
    """The layout of one of :data:`CACHE_FORMS`.

    Args:
        dtype: of the graph's floats.
        length: of a static cache; None for one that grows.

    Raises:
        UsageError: ``latent-int8`` for rows too short to say their scale; a static cache of another form than ``latent``, or of a
            length that the model has no positions for.
    """
    if length is not None:
        _refuse_length(architecture, form, length)
    if form == EXPANDED:
        return CacheLayout(EXPANDED, dtype, _of_heads(architecture))
    if form == LATENT_INT8:
        _refuse_short_rows(architecture)
    return CacheLayout(LATENT, STORED.get(form, dtype), _of_rows(architecture), length)


def _of_rows(a: Architecture) -> tuple[CacheTensor, ...]:
    """Layers 0 and 1 are ``past_key_values.0.key`` and ``.value``, 2 and 3 the next pair, and so on."""
    tensors = []
    for place in range(a.num_hidden_layers + a.num_hidden_layers % 2):
        unused = place == a.num_hidden_layers
        past, present = _names(place // 2, "value" if place % 2 else "key")
        tensors.append(CacheTensor(past, present, 1, a.latent_dim, place - unused, UNUSED if unused else LATENT))
    return tuple(tensors)


def _of_heads(a: Architecture) -> tuple[CacheTensor, ...]:
    heads = a.num_attention_heads
    return tuple(
        CacheTensor(*_names(layer, kind), heads, width, layer, kind)
        for layer in range(a.num_hidden_layers)
        for kind, width in (("key", a.qk_head_dim), ("value", a.v_head_dim))
    )


def _names(pair: int, kind: str) -> tuple[str, str]:
    return f"past_key_values.{pair}.{kind}", f"present.{pair}.{kind}"


def _refuse_short_rows(a: Architecture) -> None:
    if a.latent_dim < SCALE_BITS:
        raise UsageError(
            f"an int8 cache keeps a row's scale in {SCALE_BITS} of its numbers; this model's rows have {a.latent_dim} "
            f"(kv_lora_rank {a.kv_lora_rank}, qk_rope_head_dim {a.qk_rope_head_dim})",
            hint="export with --cache latent",
        )


def _refuse_length(a: Architecture, form: str, length: int) -> None:
    if form != LATENT:
        raise UsageError(
            f"a cache of reserved length is kept in the form latent only, not {form}",
            hint="export with --cache latent, or for a target whose cache grows, such as cpu",
        )
    longest = a.max_position_embeddings
    if not 1 <= length <= longest:
        raise UsageError(
            f"a cache of {length:,} tokens can't be reserved: this model has positions for 1 to {longest:,}",
            hint=f"choose a --max-length from 1 to {longest}",
        )
