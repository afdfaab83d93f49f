"""The shape of a MicroReason model, and the three shapes that are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

MODEL_TYPE = "microreason"


@dataclass(frozen=True)
class MicroReasonConfig:
    """Field names are those of a Hugging Face config.json.

    `attention_window` counts tokens, the present one included: a token whose gate is shut is seen by itself and
    by the next `attention_window - 1`. `attention_routing` says whether the gates of this checkpoint are in use;
    without it every token stays visible and the gates' weights are never read.
    """

    vocab_size: int = 6144
    hidden_size: int = 384
    intermediate_size: int = 1024
    num_hidden_layers: int = 14
    num_attention_heads: int = 6
    head_dim: int = 64
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    attention_window: int = 32
    attention_routing: bool = False
    bos_token_id: int = 0
    eos_token_id: int = 1

    def __post_init__(self) -> None:
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}; RoPE turns pairs of values, so it must be even")
        if self.attention_window < 1:
            raise ValueError(f"attention_window is {self.attention_window}; a token must see at least itself, so at least 1")

    def to_dict(self) -> dict[str, object]:
        """What config.json holds: the fields, and the facts that are the same for every MicroReason model."""
        return {
            "model_type": MODEL_TYPE,
            "architectures": ["MicroReasonForCausalLM"],
            **asdict(self),
            "num_key_value_heads": self.num_attention_heads,
            "hidden_act": "silu",
            "attention_bias": False,
            "tie_word_embeddings": True,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, object]) -> MicroReasonConfig:
        """Reads a config.json. Raises ValueError where it describes a model that this code doesn't build."""
        expected = cls().to_dict()
        heads = record.get("num_attention_heads", cls.num_attention_heads)
        for name in ("model_type", "hidden_act", "attention_bias", "tie_word_embeddings"):
            if record.get(name, expected[name]) != expected[name]:
                raise ValueError(f"config says {name} = {record[name]!r}; MicroReason has {expected[name]!r}")
        if record.get("num_key_value_heads", heads) != heads:
            found = record["num_key_value_heads"]
            raise ValueError(f"config says {found} key and value heads; MicroReason has one per head ({heads})")
        return cls(**{f.name: record[f.name] for f in fields(cls) if f.name in record})  # type: ignore[arg-type]


PRESETS: Mapping[str, MicroReasonConfig] = {
    "tiny": MicroReasonConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, head_dim=32, attention_window=8
    ),
    "small": MicroReasonConfig(hidden_size=192, intermediate_size=512, num_hidden_layers=8, num_attention_heads=3),
    "27m": MicroReasonConfig(),
}
