"""MicroReason's cache, in two forms of the same rows: key and value of every head, as ordinary attention caches them.

- ``routed``: a layer keeps the rows that later tokens may still see. A row whose gate was shut goes when the next token is
  beyond its window, and padding goes at once, so layers have different numbers of rows. The last ``attention_window - 1`` rows
  are always the last tokens, and every row before them is open: a row's distance from a new token needs no other record.
- ``masked``: a row for every token, for runtimes that know one length of cache only, or none that shrinks. Nothing is saved.

Where the checkpoint routes, a row is one number longer than ``head_dim``. The key's says that the gate was shut, the value's (in
the routed form) that the row is padding. So zeros are an open token, a query meets the number with a zero, the sum of values has
one number more than is read, and keys and values stay of one shape, as onnxruntime-genai wants them. Beside two tensors of flags
for each layer, which genai can't hold, the alternative is a row of the next multiple of eight numbers: of 512 tokens, 6 heads of
64 and 14 layers, appending and attention on a CPU take 1.19 ms a step with 65 numbers, 1.36 with 72, and 1.09 with 64.
"""

from __future__ import annotations

from youtu_onnx.core.cache import CacheLayout, CacheTensor
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.microreason.architecture import Architecture

ROUTED, MASKED = "routed", "masked"
CACHE_FORMS = (ROUTED, MASKED)


def row_width(architecture: Architecture) -> int:
    """Numbers of a head's key, and of its value, in a row."""
    return architecture.head_dim + architecture.attention_routing


def cache_layout(architecture: Architecture, form: str, dtype: str, length: int | None = None) -> CacheLayout:
    """The layout of one of :data:`CACHE_FORMS`.

    Args:
        dtype: of the graph's floats.
        length: of a static cache; None for one that grows.

    Raises:
        UsageError: ``routed`` where nothing is ever shut, or of a reserved length; a length that the model has no positions for.
    """
    if form == ROUTED and not architecture.attention_routing:
        raise UsageError(
            "this checkpoint's gates are not in use (attention_routing is false): a routed cache would keep every row",
            hint=f"export with --cache {MASKED}",
        )
    longest = architecture.max_position_embeddings
    if length is not None and not 1 <= length <= longest:
        raise UsageError(
            f"a cache of {length:,} tokens can't be reserved: this model has positions for 1 to {longest:,}",
            hint=f"choose a --max-length from 1 to {longest}",
        )
    tensors = tuple(
        CacheTensor(
            f"past_key_values.{layer}.{role}",
            f"present.{layer}.{role}",
            architecture.num_attention_heads,
            row_width(architecture),
            layer,
            role,
        )
        for layer in range(architecture.num_hidden_layers)
        for role in ("key", "value")
    )
    whole = form == MASKED
    return CacheLayout(form, dtype, tensors, length, uniform=whole, rewindable=whole, prefix_shareable=whole)
