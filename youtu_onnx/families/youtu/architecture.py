"""The numbers that shape a Youtu model, parsed once from ``config.json`` and validated here and nowhere else.

Both checkpoint generations are read: ``model_type: "youtu"`` (``rope_parameters``, ``dtype``) and the older
``"youtu_llm"`` (``rope_theta``, ``rope_scaling``, ``torch_dtype``, ``auto_map``). ``head_dim`` and ``mlp_bias`` of a
config are not read, as transformers' ``YoutuForCausalLM`` doesn't read them either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from youtu_onnx.core.errors import CheckpointError

MODEL_TYPES = ("youtu", "youtu_llm")
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


@dataclass(frozen=True)
class Architecture:
    """Shape of a dense decoder with multi-head latent attention, in Hugging Face's names."""

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
    rope: Rope = Rope()
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
            rotations: whether angles are computed in the graph; else they are weights too.
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

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict that :meth:`from_dict` reads back."""
        fields = asdict(self)
        fields["eos_token_ids"] = list(self.eos_token_ids)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Architecture:
        values = dict(fields)
        values["rope"] = Rope(**values["rope"])
        values["eos_token_ids"] = tuple(values["eos_token_ids"])
        return cls(**values)

    def to_hf_config(self) -> dict[str, Any]:
        """Fields for transformers' ``YoutuConfig``: the new generation, whatever the checkpoint's was."""
        read = ROPE_FIELDS[self.rope.rope_type]  # transformers warns of fields that a type doesn't read
        rope = {name: value for name, value in asdict(self.rope).items() if name in read and value is not None}
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
        reader = _Reader(config)
        architecture = reader.architecture()
        if reader.faults:
            listed = "\n  - ".join(reader.faults)
            raise CheckpointError(
                f"{where} describes no model that can be:\n  - {listed}",
                hint="compare it with the config.json that the model's authors publish",
            )
        assert architecture is not None
        return architecture


class _Reader:
    """Reads fields and gathers faults, so that a user sees all of them at once."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.faults: list[str] = []

    def architecture(self) -> Architecture | None:
        heads = self.size("num_attention_heads")
        kv_heads = self.config.get("num_key_value_heads")
        if kv_heads is not None and kv_heads != heads:
            self.faults.append(
                f"num_key_value_heads is {kv_heads!r} with {heads} attention heads: kv_b_proj carries every head's key and "
                "value, and transformers' Youtu attention runs with equal counts only"
            )
        act = self.config.get("hidden_act", "silu")
        if act not in ("silu", "swish"):
            self.faults.append(f"hidden_act is {act!r}; a Youtu MLP is SwiGLU: 'silu'")
        values: dict[str, Any] = {
            name: self.size(name)
            for name in (
                "vocab_size",
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "kv_lora_rank",
                "qk_nope_head_dim",
                "qk_rope_head_dim",
                "v_head_dim",
                "max_position_embeddings",
            )
        }
        values["num_attention_heads"] = heads
        values["q_lora_rank"] = self.size("q_lora_rank") if self.config.get("q_lora_rank") is not None else None
        values["rms_norm_eps"] = self.positive("rms_norm_eps", self.config.get("rms_norm_eps", 1e-6))
        values["rope_interleave"] = self.flag("rope_interleave", True)
        values["attention_bias"] = self.flag("attention_bias", False)
        values["tie_word_embeddings"] = self.flag("tie_word_embeddings", True)
        if values["qk_rope_head_dim"] % 2:
            self.faults.append(f"qk_rope_head_dim is {values['qk_rope_head_dim']}; RoPE rotates pairs, so it must be even")
        values["rope"] = self.rope(values["max_position_embeddings"])
        vocab = values["vocab_size"]
        values["bos_token_id"] = self.token("bos_token_id", self.config.get("bos_token_id"), vocab)
        values["pad_token_id"] = self.token("pad_token_id", self.config.get("pad_token_id"), vocab)
        eos = self.config.get("eos_token_id")
        listed = eos if isinstance(eos, (list, tuple)) else [] if eos is None else [eos]
        values["eos_token_ids"] = tuple(self.token("eos_token_id", one, vocab) for one in listed)
        return None if self.faults else Architecture(**values)

    def size(self, name: str) -> int:
        value = self.config.get(name)
        if type(value) is not int or not 0 < value < 2**31:
            self.faults.append(
                f"{name} is {value!r}; expected a positive whole number" if name in self.config else f"{name} is missing"
            )
            return 2  # any even size: keeps the later checks from failing a second time
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.faults.append(f"{name} is {value!r}; expected true or false")
        return bool(value)

    def positive(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            self.faults.append(f"{name} is {value!r}; expected a positive number")
            return 1.0
        return float(value)

    def token(self, name: str, value: Any, vocab: int) -> int | None:
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < vocab:
            self.faults.append(f"{name} is {value!r}; expected a token id below vocab_size {vocab}")
            return None
        return int(value)

    def rope(self, max_position_embeddings: int) -> Rope:
        """New configs nest everything in ``rope_parameters``; old ones have ``rope_theta`` and ``rope_scaling``."""
        scaling = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        if not isinstance(scaling, Mapping):
            self.faults.append(f"rope_parameters is {scaling!r}; expected an object")
            return Rope()
        rope_type = scaling.get("rope_type", scaling.get("type", "default"))
        if rope_type not in ROPE_FIELDS:
            self.faults.append(f"rope_type is {rope_type!r}; known are {', '.join(ROPE_FIELDS)}")
            rope_type = "default"
        theta = self.positive("rope_theta", scaling.get("rope_theta", self.config.get("rope_theta", 10000.0)))
        if rope_type == "default":
            return Rope(rope_theta=theta)
        original = scaling.get("original_max_position_embeddings")
        if original is not None and (type(original) is not int or original <= 0):
            self.faults.append(f"original_max_position_embeddings is {original!r}; expected a positive whole number")
            original = None
        if rope_type in ("dynamic", "yarn"):
            original = original or max_position_embeddings
        factor = scaling.get("factor")
        if factor is None and rope_type == "yarn" and original:  # DeepSeek's configs state lengths
            factor = max_position_embeddings / original
        optional = {
            name: None if scaling.get(name) is None else self.positive(name, scaling[name])
            for name in ("attention_factor", "mscale", "mscale_all_dim")
        }
        return Rope(
            rope_type=rope_type,
            rope_theta=theta,
            factor=self.positive("factor", factor),
            original_max_position_embeddings=original,
            beta_fast=self.positive("beta_fast", scaling.get("beta_fast") or 32.0),
            beta_slow=self.positive("beta_slow", scaling.get("beta_slow") or 1.0),
            truncate=bool(scaling.get("truncate", True)),
            **optional,
        )
