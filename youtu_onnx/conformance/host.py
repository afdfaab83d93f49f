"""Small computations that a provider may leave to the CPU: which, and why that does no harm.

The one list of them: for graphs that are looked at (``conformance.py``) and for sessions that run
(``runtimes/ort/placement.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

SIZES = "sizes of tensors: the host knows them, and reads them next"
_MASK = "positions and the mask's comparisons: int64 of a step's length, made once and used by all layers"
_ANGLES = "angles of the rotary embedding: made of the int64 positions, a few numbers for each new token"

OF_SIZES: Mapping[str, str] = dict.fromkeys(("Shape", "Size", "Squeeze", "Unsqueeze", "Concat"), SIZES)
WIDE: Mapping[str, str] = {"Cast": "ids, mask and positions: 64-bit numbers, a few for each token"}
ANY: Mapping[str, str] = {
    **OF_SIZES,
    **WIDE,
    **dict.fromkeys(("Range", "Sub", "Add", "Equal", "LessOrEqual", "Not", "And"), _MASK),
    **dict.fromkeys(("Cos", "Sin"), _ANGLES),
}
"""Operator → why it may stay on the CPU. :data:`ANY` is for providers without a table, which run graphs made for the CPU."""


def excuse(allowed: Mapping[str, str], operator: str, node: str) -> str | None:
    """Why a node of this name may be on the CPU; None: it may not. Inside of a layer nothing may: there each one costs a copy
    per layer and step."""
    return None if ".layers." in node else allowed.get(operator)
