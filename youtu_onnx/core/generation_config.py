"""``generation_config.json``: how replies of a model are sampled where the caller says nothing, and which tokens end them.

Names, meanings and defaults are those of transformers' ``GenerationConfig``. What is read is what generation here applies; what
transformers would apply beyond that, an export refuses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeGuard

from youtu_onnx.core.errors import BundleError

FILE = "generation_config.json"
SAMPLED_TOP_K = 50
"""``top_k`` where a config samples and doesn't say."""


@dataclass(frozen=True)
class GenerationConfig:
    """A file's values, with defaults for those that it leaves out.

    Attributes:
        do_sample: draw tokens; else the likeliest is taken, and the next three only matter to callers who choose to sample.
        temperature: divides the logits.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the fewest tokens that together have this probability.
        repetition_penalty: divides the logits of tokens that were there before.
        max_new_tokens: length of a reply; None says nothing of it.
        eos_token_ids: tokens that end a reply; empty: none does; None says nothing of them.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int | None = None
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] | None = None
    pad_token_id: int | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> tuple[Self, list[str]]:
        """The config that the fields of a file make, and every fault in them, each of which begins with its key.

        ``null`` is the same as nothing, as it is to transformers. Whether token ids are in the vocabulary is not asked here.
        """
        read = _Reading(fields)
        do_sample = read.value("do_sample", _is_flag, "true or false", False)
        return cls(
            do_sample=do_sample,
            temperature=read.value("temperature", lambda x: is_number(x) and x >= 0, "a number from 0", 1.0),
            top_k=read.value(
                "top_k", lambda x: is_whole(x) and x >= 0, "a whole number from 0 (0 keeps all tokens)", SAMPLED_TOP_K * do_sample
            ),
            top_p=read.value("top_p", lambda x: is_number(x) and 0 < x <= 1, "a number above 0, up to 1", 1.0),
            repetition_penalty=read.value("repetition_penalty", lambda x: is_number(x) and x > 0, "a number above 0", 1.0),
            max_new_tokens=read.value("max_new_tokens", lambda x: is_whole(x) and x > 0, "a whole number above 0", None),
            bos_token_id=read.value("bos_token_id", is_whole, "a token id", None),
            eos_token_ids=read.ids("eos_token_id"),
            pad_token_id=read.value("pad_token_id", is_whole, "a token id", None),
        ), read.faults

    @classmethod
    def of_bundle(cls, fields: Mapping[str, Any]) -> Self:
        """The config of a bundle, whose file somebody may have edited.

        Raises:
            BundleError: it holds what can't be.
        """
        config, faults = cls.parse(fields)
        if faults:
            raise BundleError(f"{FILE}: {'; '.join(faults)}", hint="copy or export the bundle again")
        return config


class _Reading:
    """Values of a JSON object, and what is wrong with them."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self.faults: list[str] = []

    def value(self, name: str, fits: Callable[[Any], bool], expected: str, default: Any) -> Any:
        found = self.fields.get(name)
        if found is None:
            return default
        if not fits(found):
            self.faults.append(f"{name} is {shown(found)}; expected {expected}")
            return default
        return found

    def ids(self, name: str) -> tuple[int, ...] | None:
        found = self.fields.get(name)
        if found is None:
            return None
        listed = found if isinstance(found, list) else [found]
        if not all(map(is_whole, listed)):
            self.faults.append(f"{name} is {shown(found)}; expected token ids")
            return None
        return tuple(listed)


def shown(value: Any) -> str:
    """A value of a JSON file, short enough for a sentence."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number that a float can hold."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)
