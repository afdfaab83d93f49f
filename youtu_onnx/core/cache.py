"""Which past tensors a graph takes and returns: names, shapes and dtypes.

The single source of truth: exporters build graphs from it, the manifest records it, runtimes allocate from it.
Two forms of the same attention (B batch, P past tokens, S new tokens, T = P + S):

- ``latent``: the normalised ``c_kv`` and the rotated ``k_rope`` of a token, side by side, one row of
  ``kv_lora_rank + qk_rope_head_dim`` numbers shared by all heads. Two layers share one key/value pair, because
  onnxruntime-genai insists that key and value of a pair have one shape: ``key`` is layer 2i, ``value`` layer 2i + 1.
  With an odd number of layers the last ``value`` is a copy of its ``key`` that nothing reads. Its int8 variant keeps the
  row as unsigned bytes around 128; the lowest bits of the first eight are the logarithm of the row's scale.
- ``expanded``: every head's key and value, as ordinary attention caches them: 5120 numbers against 576.

A cache grows with the sequence, or is static: buffers of a reserved length that the graph writes new rows into, for providers
that want one shape from the first step to the last.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.youtu.architecture import Architecture

CacheForm = Literal["latent", "latent-int8", "expanded"]
"""What a user chooses; a layout of ``latent-int8`` has the form ``latent`` and the dtype ``uint8``."""
CACHE_FORMS: tuple[CacheForm, ...] = ("latent", "latent-int8", "expanded")
CACHE_DTYPES = {"float32": 4, "float16": 2, "uint8": 1}
SCALE_BITS = 8
"""Bytes of a row of ``latent-int8`` that lend their lowest bit to the row's scale."""


@dataclass(frozen=True)
class CacheTensor:
    """One past input and its present output: ``[B, heads, P, width]`` in, ``[B, heads, T, width]`` out; both are
    ``[B, heads, length, width]`` where the cache is static."""

    past: str
    present: str
    heads: int
    width: int
    layer: int
    role: Literal["latent", "key", "value", "unused"]


@dataclass(frozen=True)
class CacheLayout:
    """The cache of one graph. ``key_width``/``value_width`` are per head; the latent form has one head.

    ``length``: of a static cache, the tokens that its buffers have room for; None where the cache grows.
    """

    form: Literal["latent", "expanded"]
    num_layers: int
    heads: int
    key_width: int
    value_width: int
    dtype: str = "float32"
    length: int | None = None

    @classmethod
    def of(cls, architecture: Architecture, form: CacheForm, dtype: str = "float32", length: int | None = None) -> CacheLayout:
        """``dtype``: of the graph's floats; ``length``: of a static cache.

        Raises:
            UsageError: ``latent-int8`` for rows too short to say their scale; a static cache of another form than ``latent``, or
                of a length that the model has no positions for.
        """
        if length is not None:
            _refuse_length(architecture, form, length)
        if form in ("latent", "latent-int8"):
            width, dtype = architecture.latent_dim, dtype if form == "latent" else "uint8"
            if form == "latent-int8" and width < SCALE_BITS:
                raise UsageError(
                    f"an int8 cache keeps a row's scale in {SCALE_BITS} of its numbers; this model's rows have "
                    f"{width} (kv_lora_rank {architecture.kv_lora_rank}, qk_rope_head_dim "
                    f"{architecture.qk_rope_head_dim})",
                    hint="export with --cache latent",
                )
            return cls("latent", architecture.num_hidden_layers, 1, width, width, dtype, length)
        return cls(
            "expanded",
            architecture.num_hidden_layers,
            architecture.num_attention_heads,
            architecture.qk_head_dim,
            architecture.v_head_dim,
            dtype,
        )

    @property
    def num_pairs(self) -> int:
        """Number of ``past_key_values.{i}`` key/value pairs."""
        return (self.num_layers + 1) // 2 if self.form == "latent" else self.num_layers

    def tensors(self) -> tuple[CacheTensor, ...]:
        """All cache tensors in the order of the graph's inputs: key 0, value 0, key 1, …"""
        listed = []
        for pair in range(self.num_pairs):
            for slot, kind in enumerate(("key", "value")):
                if self.form == "latent":
                    layer = 2 * pair + slot
                    unused = layer == self.num_layers
                    layer, role = (layer - 1, "unused") if unused else (layer, "latent")
                else:
                    layer, role = pair, kind
                width = self.key_width if slot == 0 else self.value_width
                listed.append(
                    CacheTensor(f"past_key_values.{pair}.{kind}", f"present.{pair}.{kind}", self.heads, width, layer, role)
                )
        return tuple(listed)

    @property
    def bytes_per_token(self) -> int:
        """Bytes the cache grows by with each token; those of a static one are reserved at once, ``length`` times."""
        return sum(t.heads * t.width for t in self.tensors()) * CACHE_DTYPES[self.dtype]

    def to_dict(self) -> dict[str, Any]:
        """JSON form: the fields, and every tensor spelled out for consumers in other languages."""
        return asdict(self) | {"bytes_per_token": self.bytes_per_token, "tensors": [asdict(t) for t in self.tensors()]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> CacheLayout:
        """
        Raises:
            KeyError, ValueError: a field is missing, or the length can't be one.
        """
        names, length = ("form", "num_layers", "heads", "key_width", "value_width", "dtype"), fields.get("length")
        if length is not None and (type(length) is not int or length < 1):
            raise ValueError(f"a cache of length {length!r}")
        return cls(**{name: fields[name] for name in names}, length=length)


def _refuse_length(architecture: Architecture, form: CacheForm, length: int) -> None:
    if form != "latent":
        raise UsageError(
            f"a cache of reserved length is kept in the form latent only, not {form}",
            hint="export with --cache latent, or for a target whose cache grows, such as cpu",
        )
    longest = architecture.max_position_embeddings
    if not 1 <= length <= longest:
        raise UsageError(
            f"a cache of {length:,} tokens can't be reserved: this model has positions for 1 to {longest:,}",
            hint=f"choose a --max-length from 1 to {longest}",
        )
