"""What transformers' models and bundles are both asked."""

from __future__ import annotations

import json
from typing import Any

import torch

from tests.vectors.make import FILE

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
QUESTIONS = ("What is 47 + 38?", "Reverse the words: one two three four five six.", "3 + 4 = ?")
TOLERANCE = 1e-3
ONE_CODE = 0.25
"""Of a logit in float32, where logits reach from -20 to 20."""


def generated(model: Any, inputs: dict[str, torch.Tensor], **options: Any) -> Any:
    torch.manual_seed(7)
    return model.generate(**inputs, **{"max_new_tokens": 16} | options)


def random_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(20, 1200, shape, generator=torch.Generator().manual_seed(seed))


def same(found: torch.Tensor, expected: torch.Tensor, *, rounded: bool = False) -> None:
    """In a batch of another size, and at another place in it, sums run in another order. ``rounded``: so an activation half-way
    between two 8-bit codes may become the other; another sequence's logits are off by several units."""
    torch.testing.assert_close(found, expected, atol=ONE_CODE if rounded else TOLERANCE, rtol=0)
