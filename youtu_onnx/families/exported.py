"""The exporter's side of the families in :mod:`youtu_onnx.families.known`. Needs torch."""

from __future__ import annotations

from typing import Any

from youtu_onnx.families.exportable import Exportable
from youtu_onnx.families.family import Family
from youtu_onnx.families.microreason.family import MICROREASON
from youtu_onnx.families.microreason.graph.exportable import MICROREASON_GRAPHS
from youtu_onnx.families.youtu.family import YOUTU
from youtu_onnx.families.youtu.graph.exportable import YOUTU_GRAPHS

_GRAPHS: dict[str, Exportable[Any, Any]] = {YOUTU.name: YOUTU_GRAPHS, MICROREASON.name: MICROREASON_GRAPHS}


def exportable(family: Family[Any]) -> Exportable[Any, Any]:
    return _GRAPHS[family.name]
