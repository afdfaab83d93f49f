"""Whether this project reads a ``config.json`` as transformers does, field by field.

The two read it on their own: ``architecture.py`` without transformers, which isn't there where bundles run, and transformers by
rules of its own about what stands in several places, or nowhere.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from youtu_onnx.families.youtu.architecture import SIZES, Architecture
from youtu_onnx.families.youtu.rope import ROPE_FIELDS, Rope
from youtu_onnx.graphs.rounded import Floats

if TYPE_CHECKING:
    from transformers import YoutuConfig

PLAIN = (*SIZES, "q_lora_rank", "rms_norm_eps", "rope_interleave", "attention_bias", "tie_word_embeddings")
"""Fields with one meaning and one place."""
WHY = {"head_dim": "; it is to be qk_rope_head_dim, or absent"}
OFF_AT_ZERO = ("mscale", "mscale_all_dim")
DEFAULTS = {"beta_fast": 32.0, "beta_slow": 1.0}
"""Of RoPE, taken where a field is absent, null or zero."""
SAME = 1e-5
"""Two ways of computing one number differ by less, relatively; a field that is read wrongly makes more of a difference."""


def misreadings(architecture: Architecture, config: YoutuConfig) -> list[str]:
    """Every field in which the two differ: its name, what this project makes of it, what transformers does."""
    if getattr(config, "is_heterogeneous", False):  # its fields can't be asked for then
        return ["per_layer_config: not read by youtu-onnx, layers that differ to transformers"]
    a = architecture
    pairs: dict[str, tuple[Any, Any]] = {name: (getattr(a, name), getattr(config, name)) for name in PLAIN}
    pairs["max_position_embeddings"] = (
        a.max_position_embeddings,
        min(config.max_position_embeddings, a.rope.longest or config.max_position_embeddings),
    )
    pairs["rope_interleave"] = a.rope_interleave, bool(config.rope_interleave)
    pairs["num_key_value_heads"] = a.num_attention_heads, config.num_key_value_heads
    pairs["head_dim"] = a.qk_rope_head_dim, config.head_dim
    pairs["qk_head_dim"] = a.qk_head_dim, getattr(config, "qk_head_dim", a.qk_head_dim)  # some releases scale scores by it
    pairs["hidden_act"] = "silu", {"swish": "silu"}.get(config.hidden_act, config.hidden_act)
    pairs |= {f"rope_parameters.{name}": pair for name, pair in _rope(a, config).items()}
    for name, ours in (("bos_token_id", a.bos_token_id), ("pad_token_id", a.pad_token_id)):
        if ours is not None:  # absent ones are none here, and the published model's there: no logit depends on it
            pairs[name] = ours, getattr(config, name)
    return [
        f"{name}: {ours!r} to youtu-onnx, {theirs!r} to transformers{WHY.get(name, '')}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def other_numbers(
    *, softmax_scales: tuple[float, float], rotation_scales: tuple[float, float], frequencies: tuple[Floats, Floats]
) -> list[str]:
    """What differs though every field was read alike, each of a pair ours and theirs: an operation that one of the two does
    otherwise, as another release of transformers may."""
    pairs: dict[str, tuple[Any, Any]] = {
        "scale of scores": softmax_scales,
        "scale of rotations": rotation_scales,
        "frequencies": frequencies,
    }
    return [
        f"rope_parameters ({name}): {np.asarray(ours).tolist()} to youtu-onnx, {np.asarray(theirs).tolist()} to transformers"
        for name, (ours, theirs) in pairs.items()
        if np.shape(ours) != np.shape(theirs) or not np.allclose(ours, theirs, rtol=SAME, atol=0)
    ]


def _rope(a: Architecture, config: YoutuConfig) -> dict[str, tuple[Any, Any]]:
    theirs: dict[str, Any] = dict(config.rope_parameters or {})
    ours = asdict(a.rope)
    pairs: dict[str, tuple[Any, Any]] = {"rope_type": (a.rope.rope_type, theirs["rope_type"])}
    for name in ROPE_FIELDS[a.rope.rope_type]:
        found = theirs.get(name, getattr(Rope(), name))
        if name == "factor" and theirs.get(name) is None:
            found = config.max_position_embeddings / theirs["original_max_position_embeddings"]
        if isinstance(found, list):
            found = tuple(found)
        if name in DEFAULTS:
            found = found or DEFAULTS[name]
        pairs[name] = _meant(name, ours[name]), _meant(name, found)
    if a.rope.rope_type != "default":  # of how many dimensions; the default type doesn't look at it
        pairs["partial_rotary_factor"] = 1.0, theirs.get("partial_rotary_factor", 1.0)
    return pairs


def _meant(name: str, value: Any) -> Any:
    if name == "truncate":
        return bool(value)
    return value or None if name in OFF_AT_ZERO else value
