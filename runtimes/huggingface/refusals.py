"""What a graph can't do that transformers offers, and why."""

from __future__ import annotations

from collections.abc import Iterable

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.huggingface.cache import OrtCache

REFUSED = {
    "penalty_alpha": "contrastive search compares hidden states, which the graph doesn't return",
    "dola_layers": "DoLa compares layers' logits, and the graph returns the last layer's alone",
    "assistant_early_exit": "leaving after some layers is not in the graph",
    "use_mtp": "the model has no layers for several tokens at once",
    "output_attentions": "the graph doesn't return attention weights",
    "output_hidden_states": "the graph doesn't return hidden states",
    "inputs_embeds": "the graph starts from token ids",
}
"""Options of generate() that are refused where they are set, and why."""


def refuse(asked: Iterable[str]) -> None:
    """
    Raises:
        UsageError: one of :data:`REFUSED` is asked for.
    """
    for name in asked:
        raise UsageError(f"{name}: {REFUSED[name]}", hint="use the PyTorch model for it")


def own_cache(cache: object) -> OrtCache:
    """``past_key_values``, once it is known to be the graph's.

    Raises:
        UsageError: it is another kind of cache.
    """
    if not isinstance(cache, OrtCache):
        raise UsageError(
            f"past_key_values is a {type(cache).__name__}; the graph takes what it returned itself (OrtCache)",
            hint="leave it away for a new cache",
        )
    return cache
