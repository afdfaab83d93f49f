"""Keys of a ``config.json`` that the exported models' own code doesn't read, while transformers' code for all models does.

Most keys that stand in such a file mean nothing to the model: what tools noted, other models' fields. These would change what
transformers computes, or which file it reads, and exports know none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from youtu_onnx.families.config_fields import ConfigFields, shown

FLOATS = ("float32", "float", "float16", "half", "bfloat16", "float64", "double")
"""torch's names of dtypes that a model may be loaded in."""
UNREAD = {
    "kv_sharing_modes": "layers that share a cache",
    "per_layer_config": "layers that differ",
    "transformers_weights": "weights in a file of another name",
    "configuration_files": "another file in the place of this one",
    "fusion_config": "layers that are rewritten",
}
"""Key → what it would mean. Absent or null they mean nothing."""
INNER = ("text_config", "text_encoder", "decoder", "generator")
"""Where transformers looks for the language model of a larger one."""


def note_faults(fields: ConfigFields, max_position_embeddings: int) -> None:
    """Note every key that would make another model of this one."""
    config = fields.config
    for name, meaning in UNREAD.items():
        if config.get(name) is not None:
            fields.faults.append(f"{name}: not read by youtu-onnx, {meaning} to transformers")
    for name, value in config.items():
        if name in INNER or (isinstance(value, Mapping) and "model_type" in value):
            fields.faults.append(f"{name}: not read by youtu-onnx, a model within a larger one to transformers")
    if config.get("is_causal", True) is not True:
        fields.faults.append(f"is_causal is {config['is_causal']!r}; the model attends to earlier tokens only: true")
    if config.get("is_encoder_decoder", False) is not False:
        fields.faults.append(f"is_encoder_decoder is {config['is_encoder_decoder']!r}; the model is a decoder: false")
    for name in ("sliding_window", "attention_chunk_size"):
        window = config.get(name)
        if window is not None and not (type(window) is int and window >= max_position_embeddings):
            fields.fault(
                name, window, f"null, or at least max_position_embeddings {max_position_embeddings}: layers attend to all"
            )
    layers = config.get("layer_types")
    if layers is not None and not (isinstance(layers, list) and all(one == "full_attention" for one in layers)):
        fields.faults.append(f"layer_types is {shown(layers)}; every layer is 'full_attention'")
    _note_dtype(fields)


def _note_dtype(fields: ConfigFields) -> None:
    """``dtype`` is what newer files say, and goes first. No weight is read by it."""
    config: Mapping[str, Any] = fields.config
    name = "dtype" if config.get("dtype") is not None else "torch_dtype"
    dtype = config.get(name)
    if dtype is not None and dtype not in FLOATS:
        fields.fault(name, dtype, f"one of {', '.join(FLOATS)}")
