"""The numbers that shape a MicroReason model, parsed once from ``config.json`` and validated here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from youtu_onnx.core.errors import CheckpointError, listed
from youtu_onnx.families.config_fields import ConfigFields, shown
from youtu_onnx.families.other_keys import note_faults

MODEL_TYPES = ("microreason",)


@dataclass(frozen=True)
class Architecture:
    """Shape of a dense decoder with a gate for each token and layer, in Hugging Face's names.

    Without routing it is Qwen3's: RMS-normed queries and keys, RoPE in halves, SwiGLU. A gate ``sigmoid(gate_proj(x))`` over 0.5
    keeps its token visible to all later ones; another token is seen by itself and the next ``attention_window - 1`` only.

    Attributes:
        attention_routing: whether the gates are in use; without it every token stays visible, and their weights are never read.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    head_dim: int
    max_position_embeddings: int
    attention_window: int
    attention_routing: bool = False
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None

    @property
    def inner_size(self) -> int:
        """Numbers of all heads together."""
        return self.num_attention_heads * self.head_dim

    def traced(self) -> Architecture:
        """What traced parts may know: one layer, and nothing that is a matter of weights or of text."""
        return replace(
            self,
            rope_theta=1.0,
            num_hidden_layers=1,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_ids=(),
            pad_token_id=None,
        )

    @property
    def parameters(self) -> int:
        """Number of weights, tied embeddings counted once."""
        return sum(math.prod(shape) for shape in self.tensor_shapes().values())

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor a checkpoint of this shape must hold: Hugging Face name → shape. Gates that are not in use are none."""
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.hidden_size)}
        for i in range(self.num_hidden_layers):
            shapes.update({f"model.layers.{i}.{name}": shape for name, shape in self._layer_shapes().items()})
        shapes["model.norm.weight"] = (self.hidden_size,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, self.hidden_size)
        return shapes

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner, wide = self.hidden_size, self.inner_size, self.intermediate_size
        gates = {"self_attn.gate_proj.weight": (1, hidden), "self_attn.gate_proj.bias": (1,)}
        return {
            "input_layernorm.weight": (hidden,),
            "self_attn.q_proj.weight": (inner, hidden),
            "self_attn.k_proj.weight": (inner, hidden),
            "self_attn.v_proj.weight": (inner, hidden),
            "self_attn.o_proj.weight": (hidden, inner),
            "self_attn.q_norm.weight": (self.head_dim,),
            "self_attn.k_norm.weight": (self.head_dim,),
            **(gates if self.attention_routing else {}),
            "post_attention_layernorm.weight": (hidden,),
            "mlp.gate_proj.weight": (wide, hidden),
            "mlp.up_proj.weight": (wide, hidden),
            "mlp.down_proj.weight": (hidden, wide),
        }

    def unread_tensors(self) -> frozenset[str]:
        """Gates that are not in use: training leaves them in the file."""
        if self.attention_routing:
            return frozenset()
        layers = (f"model.layers.{i}.self_attn.gate_proj" for i in range(self.num_hidden_layers))
        return frozenset(f"{name}.{kind}" for name in layers for kind in ("weight", "bias"))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict that :meth:`from_dict` reads back."""
        return asdict(self) | {"eos_token_ids": list(self.eos_token_ids)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Architecture:
        return cls(**(dict(fields) | {"eos_token_ids": tuple(fields["eos_token_ids"])}))

    def to_hf_config(self) -> dict[str, Any]:
        """Fields for transformers' ``Qwen3Config``, whose model this is without routing, and the gates' own."""
        ends = list(self.eos_token_ids)
        return {name: value for name, value in asdict(self).items() if name not in ("eos_token_ids", "rope_theta")} | {
            "num_key_value_heads": self.num_attention_heads,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "eos_token_id": ends[0] if len(ends) == 1 else ends,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str = "config.json") -> Architecture:
        """Parse and validate a checkpoint's config.

        Raises:
            CheckpointError: another family, or fields that can't be; every fault is named, not the first only.
        """
        model_type = config.get("model_type")
        if model_type not in MODEL_TYPES:
            raise CheckpointError(
                f"{where}: model_type is {model_type!r}, and a MicroReason model's is {MODEL_TYPES[0]!r}",
                hint="point --model at a MicroReason checkpoint",
            )
        fields = ConfigFields(config)
        values = _read(fields)
        if fields.faults:
            raise CheckpointError(
                listed(f"{where} describes no MicroReason model", fields.faults),
                hint="compare it with the config.json that training wrote",
            )
        return cls(**values)


SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "head_dim",
    "max_position_embeddings",
    "attention_window",
)
ONLY: Mapping[str, tuple[Any, ...]] = {"hidden_act": ("silu", "swish"), "attention_bias": (False,)}
"""Fields that have one meaning for every MicroReason model."""
NOT_READ = ("rope_parameters", "rope_scaling", "partial_rotary_factor")
"""Other ways to say how positions turn; a MicroReason model has ``rope_theta`` alone."""


def _read(fields: ConfigFields) -> dict[str, Any]:
    """An Architecture's fields, as far as they can be read."""
    config = fields.config
    values: dict[str, Any] = {name: fields.size(name) for name in SIZES}
    heads, kv_heads = values["num_attention_heads"], config.get("num_key_value_heads")
    if kv_heads is not None and kv_heads != heads:
        fields.fault("num_key_value_heads", kv_heads, f"num_attention_heads, {heads}: every head has its own key and value")
    if values["head_dim"] % 2:
        fields.faults.append(f"head_dim is {values['head_dim']}; RoPE rotates pairs, so it must be even")
    for name, allowed in ONLY.items():
        if config.get(name, allowed[0]) not in allowed:
            fields.fault(name, config[name], repr(allowed[0]).lower() if allowed[0] is False else repr(allowed[0]))
    for name in NOT_READ:
        if config.get(name) is not None:
            fields.faults.append(f"{name} is {shown(config[name])}; a MicroReason model says rope_theta and nothing else of RoPE")
    for name, default in (("rope_theta", 10000.0), ("rms_norm_eps", 1e-6)):
        values[name] = fields.positive(name, config.get(name, default))
    values["attention_routing"] = fields.flag("attention_routing", False)
    values["tie_word_embeddings"] = fields.flag("tie_word_embeddings", True)
    values |= fields.tokens(values["vocab_size"])
    note_faults(fields, values["max_position_embeddings"])
    return values
