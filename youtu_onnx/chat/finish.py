"""Why a reply ended."""

from __future__ import annotations

from typing import Literal

CompleteReason = Literal["stop", "length"]
"""Why a reply is complete: the model ended it, or its length or the context is used up."""

FinishReason = Literal["stop", "length", "cancelled"]
"""The same, or ``cancelled``: somebody or something ended it before that."""
