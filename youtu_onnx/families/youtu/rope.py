"""Rotary position embedding as a ``config.json`` describes it, in transformers' terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_SCALED = ("rope_type", "rope_theta", "factor", "mscale_all_dim")
_TRAINED = (*_SCALED, "original_max_position_embeddings")
ROPE_FIELDS = {
    "default": ("rope_type", "rope_theta"),
    "linear": _SCALED,
    "dynamic": _SCALED,
    "yarn": (*_TRAINED, "attention_factor", "beta_fast", "beta_slow", "mscale", "truncate"),
    "llama3": (*_TRAINED, "low_freq_factor", "high_freq_factor"),
    "longrope": (*_TRAINED, "attention_factor", "short_factor", "long_factor"),
}
"""RoPE types, and the fields of ``rope_parameters`` that each reads (mscale_all_dim: the softmax scale of any but default)."""
LATER_FIELDS = ("low_freq_factor", "high_freq_factor", "short_factor", "long_factor")
"""Recorded where they are given and not else: bundles of other types stay readable to releases that don't know them."""


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
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    short_factor: tuple[float, ...] | None = None
    long_factor: tuple[float, ...] | None = None

    @property
    def longest(self) -> int | None:
        """The most positions that one table of frequencies serves; None: any number.

        ``longrope`` has a table for sequences up to the trained length and one for longer ones. A cache holds rotated keys, and a
        sequence that grows past the trained length, or is read in chunks across it, would have keys of both.
        """
        return None if self.short_factor == self.long_factor else self.original_max_position_embeddings

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` reads it back."""
        fields = asdict(self)
        for name in LATER_FIELDS:
            if fields[name] is None:
                del fields[name]
            elif isinstance(fields[name], tuple):
                fields[name] = list(fields[name])
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Rope:
        """
        Raises:
            TypeError: it is not what :meth:`to_dict` wrote.
        """
        values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in fields.items()}
        return cls(**values)
