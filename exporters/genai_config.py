"""``genai_config.json``: how onnxruntime-genai finds its way in the graph."""

from __future__ import annotations

from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.generation_config import GenerationConfig
from youtu_onnx.core.target import Target
from youtu_onnx.families.architecture import Architecture

CHUNK = 512
"""Tokens of a prompt's step."""


def one_shape(cache: CacheLayout) -> bool:
    """Whether onnxruntime-genai can hold a cache: keys and values of one shape, in floats or bytes, a row for each token."""
    return cache.uniform and len({(tensor.heads, tensor.width) for tensor in cache.tensors}) == 1


def genai_config(architecture: Architecture, cache: CacheLayout, target: Target, generation: GenerationConfig) -> dict[str, Any]:
    """Contents for a cache of one shape, which genai takes for one of half as many layers as there are tensors.

    ``past_present_share_buffer`` is off where the cache grows with the conversation instead of reserving the full context. Where
    it is static, ``max_length`` is the reserved length, and no other will do: the graph takes buffers of that shape. A prompt is
    read in chunks, since each token of a step has scores for the whole length.
    """
    a, static = architecture, cache.length is not None
    context = cache.length or a.max_position_embeddings
    provider: list[dict[str, Any]] = [] if target.on_cpu else [{target.provider: {}}]
    eos = generation.eos_token_ids or a.eos_token_ids
    pad = generation.pad_token_id if a.pad_token_id is None else a.pad_token_id
    return {
        "model": {
            "type": "decoder",
            "vocab_size": a.vocab_size,
            "context_length": context,
            "bos_token_id": a.bos_token_id if a.bos_token_id is not None else 0,
            "eos_token_id": eos[0] if len(eos) == 1 else list(eos),
            "pad_token_id": pad if pad is not None else eos[0] if eos else 0,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": provider},
                "filename": names.MODEL,
                "hidden_size": a.hidden_size,
                "head_size": cache.tensors[0].width,
                "num_attention_heads": a.num_attention_heads,
                "num_key_value_heads": cache.tensors[0].heads,
                "num_hidden_layers": len(cache.tensors) // 2,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": generation.do_sample,
            "early_stopping": True,
            "length_penalty": 1.0,
            "max_length": context,
            "min_length": 0,
            "no_repeat_ngram_size": 0,
            "num_beams": 1,
            "num_return_sequences": 1,
            "past_present_share_buffer": static,
            "repetition_penalty": float(generation.repetition_penalty),
            "temperature": float(generation.temperature),
            "top_k": min(generation.top_k, a.vocab_size) if generation.do_sample else 1,
            "top_p": float(generation.top_p),
            **({"chunk_size": CHUNK} if static else {}),
        },
    }
