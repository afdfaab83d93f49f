"""PyTorch's side of the families in :mod:`youtu_onnx.families.known`. Can be imported without torch."""

from __future__ import annotations

from typing import Any

from youtu_onnx.families.family import Family
from youtu_onnx.families.microreason.family import MICROREASON
from youtu_onnx.families.microreason.reference import MICROREASON_REFERENCE
from youtu_onnx.families.reference import Reference
from youtu_onnx.families.youtu.family import YOUTU
from youtu_onnx.families.youtu.reference import YOUTU_REFERENCE

_REFERENCES: dict[str, Reference] = {
    YOUTU.name: YOUTU_REFERENCE,
    MICROREASON.name: MICROREASON_REFERENCE,
}


def reference_of(family: Family[Any]) -> Reference:
    return _REFERENCES[family.name]
