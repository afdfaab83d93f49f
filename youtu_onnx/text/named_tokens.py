"""Names of special tokens, which chat templates read as variables: ``bos_token``, ``eos_token``, and a model's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STANDARD = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Names that every tokenizer may use; others are a model's own."""


def named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Name → text: every ``…_token`` of a ``tokenizer_config.json``, and ``extra_special_tokens`` where these have names."""
    texts = {name: _text(value) for name, value in config.items() if name.endswith("_token")}
    extra = config.get("extra_special_tokens")
    if isinstance(extra, Mapping):
        texts |= {name: _text(value) for name, value in extra.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _text(value: Any) -> str | None:
    """The text of a token, which is one, or a JSON object that describes one."""
    text = value.get("content") if isinstance(value, Mapping) else value
    return text if isinstance(text, str) else None
