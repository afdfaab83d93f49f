"""What every program needs to know of a model, whatever its family: read off the family's own record in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FAMILY_OF_FORMAT_1 = "youtu"


@dataclass(frozen=True)
class ModelFacts:
    """The numbers that all families record under the same, Hugging Face's, names.

    ``record``: everything that the family recorded, for the family to read (``youtu_onnx.families``).
    """

    family: str
    vocab_size: int
    max_position_embeddings: int
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    pad_token_id: int | None
    record: Mapping[str, Any]

    @classmethod
    def of(cls, family: str, record: Mapping[str, Any]) -> ModelFacts:
        """
        Raises:
            KeyError, TypeError, ValueError: a number is missing, or can't be one.
        """
        sizes = {name: record[name] for name in ("vocab_size", "max_position_embeddings")}
        ends = tuple(record["eos_token_ids"])
        ids = {name: record[name] for name in ("bos_token_id", "pad_token_id")}
        if not all(type(size) is int and size > 0 for size in sizes.values()):
            raise ValueError(f"a model of {sizes}")
        if not all(type(one) is int for one in (*ends, *(one for one in ids.values() if one is not None))):
            raise ValueError(f"a model with the special tokens {ids}, {ends}")
        return cls(family=family, eos_token_ids=ends, record=record, **sizes, **ids)

    @property
    def bound(self) -> str:
        """In brackets, for messages, what the positions end at where a checkpoint may say more of them; else nothing."""
        rope = self.record.get("rope")
        if not isinstance(rope, Mapping) or rope.get("short_factor") == rope.get("long_factor"):
            return ""
        return " (longrope's original_max_position_embeddings)"
