"""The numbers that shape a Youtu model, parsed once from ``config.json`` and validated here and nowhere else.

Both checkpoint generations are read: ``model_type: "youtu"`` (``rope_parameters``, ``dtype``) and the older
``"youtu_llm"`` (``rope_theta``, ``rope_scaling``, ``torch_dtype``, ``auto_map``). A field means what it means to transformers:
``config_agreement.py`` holds each export to that. ``mlp_bias`` is not read, since transformers doesn't read it either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from youtu_onnx.core.errors import CheckpointError, listed
from youtu_onnx.families.config_fields import ConfigFields, shown
from youtu_onnx.families.other_keys import note_faults
from youtu_onnx.families.youtu.read_rope import read_rope
from youtu_onnx.families.youtu.rope import ROPE_FIELDS, Rope

MODEL_TYPES = ("youtu", "youtu_llm")


@dataclass(frozen=True)
class Architecture:
    """Shape of a dense decoder with multi-head latent attention, in Hugging Face's names.

    Attributes:
        max_position_embeddings: what the file says, and at most :attr:`Rope.longest`.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    max_position_embeddings: int
    q_lora_rank: int | None = None
    rms_norm_eps: float = 1e-6
    rope: Rope = field(default_factory=Rope)
    rope_interleave: bool = True
    attention_bias: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None

    @property
    def qk_head_dim(self) -> int:
        """Width of one head's query and key: 192 for Youtu-LLM-2B."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def latent_dim(self) -> int:
        """Numbers cached per token and layer in the latent form: 576 for Youtu-LLM-2B."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def softmax_scale(self) -> float:
        """``qk_head_dim ** -0.5``, times mscale² under scaled RoPE (DeepSeek-V2's correction for long contexts)."""
        scale: float = self.qk_head_dim**-0.5
        if self.rope.rope_type != "default" and self.rope.mscale_all_dim and self.rope.factor > 1:
            mscale = 0.1 * self.rope.mscale_all_dim * math.log(self.rope.factor) + 1.0
            scale *= mscale * mscale
        return scale

    def traced(self, *, rotations: bool) -> Architecture:
        """What traced parts may know: one layer, and nothing that is a matter of weights or of text.

        Models have equal ones that differ in the number of their layers, in tied embeddings, in the order of rotated pairs.

        Args:
            rotations: whether how tokens are rotated is part of the graph; else it is all weights too.
        """
        return replace(
            self,
            rope=self.rope if rotations else Rope(),
            num_hidden_layers=1,
            tie_word_embeddings=True,
            rope_interleave=False,
            bos_token_id=None,
            eos_token_ids=(),
            pad_token_id=None,
        )

    @property
    def parameters(self) -> int:
        """Number of weights, tied embeddings counted once."""
        return sum(math.prod(shape) for shape in self.tensor_shapes().values())

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor a checkpoint of this shape must hold: Hugging Face name → shape."""
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.hidden_size)}
        for i in range(self.num_hidden_layers):
            shapes.update({f"model.layers.{i}.{name}": shape for name, shape in self._layer_shapes().items()})
        shapes["model.norm.weight"] = (self.hidden_size,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, self.hidden_size)
        return shapes

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, heads = self.hidden_size, self.num_attention_heads
        shapes: dict[str, tuple[int, ...]] = {
            "input_layernorm.weight": (hidden,),
            "self_attn.kv_a_proj_with_mqa.weight": (self.latent_dim, hidden),
            "self_attn.kv_a_layernorm.weight": (self.kv_lora_rank,),
            "self_attn.kv_b_proj.weight": (heads * (self.qk_nope_head_dim + self.v_head_dim), self.kv_lora_rank),
            "self_attn.o_proj.weight": (hidden, heads * self.v_head_dim),
            "post_attention_layernorm.weight": (hidden,),
            "mlp.gate_proj.weight": (self.intermediate_size, hidden),
            "mlp.up_proj.weight": (self.intermediate_size, hidden),
            "mlp.down_proj.weight": (hidden, self.intermediate_size),
        }
        if self.q_lora_rank is None:
            shapes["self_attn.q_proj.weight"] = (heads * self.qk_head_dim, hidden)
        else:
            shapes["self_attn.q_a_proj.weight"] = (self.q_lora_rank, hidden)
            shapes["self_attn.q_a_layernorm.weight"] = (self.q_lora_rank,)
            shapes["self_attn.q_b_proj.weight"] = (heads * self.qk_head_dim, self.q_lora_rank)
        if self.attention_bias:
            shapes["self_attn.kv_a_proj_with_mqa.bias"] = (self.latent_dim,)
            shapes["self_attn.o_proj.bias"] = (hidden,)
            if self.q_lora_rank is not None:
                shapes["self_attn.q_a_proj.bias"] = (self.q_lora_rank,)
        return shapes

    def unread_tensors(self) -> frozenset[str]:
        return frozenset()

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict that :meth:`from_dict` reads back."""
        return asdict(self) | {"rope": self.rope.to_dict(), "eos_token_ids": list(self.eos_token_ids)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Architecture:
        values = dict(fields)
        values["rope"] = Rope.from_dict(values["rope"])
        values["eos_token_ids"] = tuple(values["eos_token_ids"])
        return cls(**values)

    def to_hf_config(self) -> dict[str, Any]:
        """Fields for transformers' ``YoutuConfig``: the new generation, whatever the checkpoint's was."""
        read = ROPE_FIELDS[self.rope.rope_type]  # transformers warns of fields that a type doesn't read
        rope = {name: value for name, value in self.rope.to_dict().items() if name in read and value is not None}
        own = ("rope", "eos_token_ids")
        fields = {name: value for name, value in asdict(self).items() if name not in own}
        fields |= {
            "num_key_value_heads": self.num_attention_heads,
            "rope_parameters": rope,
            "eos_token_id": list(self.eos_token_ids) if len(self.eos_token_ids) != 1 else self.eos_token_ids[0],
        }
        return fields

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str = "config.json") -> Architecture:
        """Parse and validate a checkpoint's config.

        Raises:
            CheckpointError: another family, or fields that can't be; every fault is named, not the first only.
        """
        model_type = config.get("model_type")
        if model_type not in MODEL_TYPES:
            raise CheckpointError(
                f"{where}: model_type is {model_type!r}; youtu-onnx exports {' and '.join(map(repr, MODEL_TYPES))}",
                hint="point --model at a Youtu-LLM checkpoint, or name the built-in 'youtu-nano'",
            )
        fields = ConfigFields(config)
        values = _read(fields)
        if fields.faults:
            raise CheckpointError(
                listed(f"{where} describes no model that youtu-onnx can export", fields.faults),
                hint="compare it with the config.json that the model's authors publish",
            )
        return cls(**values)


SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "max_position_embeddings",
)
Q_LORA_RANK = 1536
"""What transformers takes where a config has no ``q_lora_rank`` at all; ``null`` says that there is none."""


def _read(fields: ConfigFields) -> dict[str, Any]:
    """An Architecture's fields, as far as they can be read."""
    config = fields.config
    values: dict[str, Any] = {name: fields.size(name) for name in SIZES}
    heads, kv_heads = values["num_attention_heads"], config.get("num_key_value_heads")
    if kv_heads is not None and kv_heads != heads:
        fields.faults.append(
            f"num_key_value_heads is {shown(kv_heads)} and num_attention_heads {heads}: kv_b_proj carries every head's key and "
            "value, and transformers' Youtu attention runs with equal counts only"
        )
    act = config.get("hidden_act", "silu")
    if act not in ("silu", "swish"):
        fields.fault("hidden_act", act, "'silu', which a Youtu MLP computes with")
    no_q_lora = config.get("q_lora_rank", Q_LORA_RANK) is None
    values["q_lora_rank"] = None if no_q_lora else fields.size("q_lora_rank", Q_LORA_RANK)
    values["rms_norm_eps"] = fields.positive("rms_norm_eps", config.get("rms_norm_eps", 1e-6))
    values["rope_interleave"] = fields.flag("rope_interleave", "rope_interleave" not in config)  # null is no, says transformers
    values["attention_bias"] = fields.flag("attention_bias", False)
    values["tie_word_embeddings"] = fields.flag("tie_word_embeddings", True)
    if values["qk_rope_head_dim"] % 2:
        fields.faults.append(f"qk_rope_head_dim is {values['qk_rope_head_dim']}; RoPE rotates pairs, so it must be even")
    longest = values["max_position_embeddings"]
    values["rope"] = read_rope(fields, longest, fields.readable_size("qk_rope_head_dim"))
    values["max_position_embeddings"] = min(longest, values["rope"].longest or longest)
    values |= fields.tokens(values["vocab_size"])
    note_faults(fields, longest)
    return values
