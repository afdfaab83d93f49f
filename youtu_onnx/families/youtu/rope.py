"""Rotary position embedding as a ``config.json`` describes it, in transformers' terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from youtu_onnx.families.youtu.config_fields import ConfigFields

_ALWAYS = ("rope_type", "rope_theta")
ROPE_FIELDS = {
    "default": _ALWAYS,
    "linear": (*_ALWAYS, "factor", "mscale_all_dim"),
    "dynamic": (*_ALWAYS, "factor", "mscale_all_dim"),
    "yarn": (
        *_ALWAYS,
        "factor",
        "mscale_all_dim",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "truncate",
    ),
}
"""RoPE types, and the fields of ``rope_parameters`` that each reads (mscale_all_dim: the softmax scale of any but default)."""


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding; the fields carry the names of transformers' ``rope_parameters``."""

    rope_type: str = "default"
    rope_theta: float = 10000.0
    factor: float = 1.0
    original_max_position_embeddings: int | None = None
    attention_factor: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


def read_rope(fields: ConfigFields, max_position_embeddings: int) -> Rope:
    """New configs nest everything in ``rope_parameters``; old ones have ``rope_theta`` and ``rope_scaling``.

    What stands in several places is taken from where transformers takes it: ``rope_scaling`` before ``rope_parameters``,
    ``rope_theta`` inside them before the one beside them, ``original_max_position_embeddings`` beside them before the one inside.
    """
    config = fields.config
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(scaling, Mapping):
        fields.faults.append(f"rope_parameters is {scaling!r}; expected an object")
        return Rope()
    rope_type = scaling.get("rope_type", scaling.get("type", "default"))
    if rope_type not in ROPE_FIELDS:
        fields.faults.append(f"rope_type is {rope_type!r}; known are {', '.join(ROPE_FIELDS)}")
        rope_type = "default"
    theta = fields.positive("rope_theta", scaling.get("rope_theta", config.get("rope_theta", 10000.0)))
    if rope_type == "default":
        return Rope(rope_theta=theta)
    original = scaling.get("original_max_position_embeddings")
    if rope_type == "yarn":
        original = config.get("original_max_position_embeddings", original)
    if original is not None and (type(original) is not int or original <= 0):
        fields.faults.append(f"original_max_position_embeddings is {original!r}; expected a positive whole number")
        original = None
    if rope_type in ("dynamic", "yarn"):
        original = original or max_position_embeddings
    factor = scaling.get("factor")
    if factor is None and "factor" in scaling and rope_type == "yarn" and original:  # DeepSeek's configs state lengths
        factor = max_position_embeddings / original

    def optional(name: str) -> float | None:
        return None if scaling.get(name) is None else fields.positive(name, scaling[name])

    def unless_zero(name: str) -> float | None:
        """A zero turns it off, as its absence does."""
        return optional(name) if scaling.get(name) else None

    return Rope(
        rope_type=rope_type,
        rope_theta=theta,
        factor=fields.positive("factor", factor),
        original_max_position_embeddings=original,
        attention_factor=optional("attention_factor"),
        beta_fast=fields.positive("beta_fast", scaling.get("beta_fast") or 32.0),
        beta_slow=fields.positive("beta_slow", scaling.get("beta_slow") or 1.0),
        mscale=unless_zero("mscale"),
        mscale_all_dim=unless_zero("mscale_all_dim"),
        truncate=bool(scaling.get("truncate", True)),
    )
