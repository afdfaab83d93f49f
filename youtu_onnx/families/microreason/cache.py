"""MicroReason's cache, in two forms of the same rows: key and value of every head, as ordinary attention caches them.

- ``routed``: a layer keeps the rows that later tokens may still see, so layers have different numbers of rows. A row whose gate
  was shut goes when the next token is beyond its window, and padding goes at once. The last ``attention_window - 1`` rows are
  always the last tokens, and what is before them is open: a row's distance from a new token needs no record. Beside key and
  value a row has a number that says whether its gate was open (:data:`OPEN`). Of a batch, rows stay that any sequence needs.
- ``masked``: a row for every token, for runtimes that know one length of cache only, or none that shrinks. Nothing is saved.
  There a row of key or value is one number longer than ``head_dim`` where the checkpoint routes. The key's is 1 where its gate
  was shut; a query meets it with a zero, and the sum of values has one number more than is read. onnxruntime-genai, which wants
  keys and values of one shape and nothing else, couldn't hold a tensor of its own for it, and rows of the next multiple of eight
  numbers cost more than odd ones: at 512 tokens, 6 heads of 64 and 14 layers, appending and attention on a CPU take 1.19 ms a
  step with 65 numbers, 1.36 with 72, and 1.09 with 64.
"""

from __future__ import annotations

from youtu_onnx.core.cache import CacheLayout, CacheTensor
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.microreason.architecture import Architecture

ROUTED, MASKED = "routed", "masked"
CACHE_FORMS = (ROUTED, MASKED)


OPEN, SHUT, PADDING = 0, -1, -3
"""A routed cache's numbers of rows. What a query adds to them is 1 within the window, 0 before it, and far below zero for tokens
that are yet to come: it sees what comes to 0 or more."""


def row_width(architecture: Architecture, form: str) -> int:
    """Numbers of a head's key, and of its value, in a row."""
    return architecture.head_dim + (form == MASKED and architecture.attention_routing)


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
    tensors = tuple(tensor for layer in range(architecture.num_hidden_layers) for tensor in _of_layer(architecture, form, layer))
    whole = form == MASKED
    return CacheLayout(form, dtype, tensors, length, uniform=whole, rewindable=whole, prefix_shareable=whole)


def _of_layer(a: Architecture, form: str, layer: int) -> tuple[CacheTensor, ...]:
    sizes = (a.num_attention_heads, row_width(a, form), layer)
    key, value = (CacheTensor(*_names(layer, role), *sizes, role) for role in ("key", "value"))
    return (key, value) if form == MASKED else (key, value, CacheTensor(*_names(layer, "gate"), 1, 1, layer, "gate"))


def _names(layer: int, role: str) -> tuple[str, str]:
    return f"past_key_values.{layer}.{role}", f"present.{layer}.{role}"
