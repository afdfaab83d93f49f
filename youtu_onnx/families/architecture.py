"""What generic code may ask of a model's numbers, whichever family they belong to."""

from __future__ import annotations

from typing import Any, Protocol


class Architecture(Protocol):
    """The numbers that shape one model, in Hugging Face's names. A frozen dataclass of its family."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def hidden_size(self) -> int: ...

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def num_attention_heads(self) -> int: ...

    @property
    def max_position_embeddings(self) -> int: ...

    @property
    def tie_word_embeddings(self) -> bool: ...

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def eos_token_ids(self) -> tuple[int, ...]: ...

    @property
    def pad_token_id(self) -> int | None: ...

    @property
    def parameters(self) -> int:
        """Number of weights, tied embeddings counted once."""

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor a checkpoint of this shape must hold: Hugging Face name → shape."""

    def unread_tensors(self) -> frozenset[str]:
        """Names of tensors that such a checkpoint may hold beside those, and that its model never reads."""

    def to_dict(self) -> dict[str, Any]:
        """What the manifest records; JSON-ready, and read back by :meth:`Family.read`."""

    def to_hf_config(self) -> dict[str, Any]:
        """Fields for the family's configuration class in transformers."""
