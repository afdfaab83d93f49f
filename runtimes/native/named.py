"""A bundle's graph that names native operators, as a file: for programs that register the library themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from youtu_onnx.core.atomic import write_bytes
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from youtu_onnx.runtimes.native import rewriting
else:
    rewriting = Deferred("youtu_onnx.runtimes.native.rewriting", "the native kernels", extra="native")


@dataclass(frozen=True)
class NamedGraph:
    """``graph``: a file in the bundle's folder, whose weights are the bundle's; how many operators of each kind are in it."""

    graph: Path
    operators: Mapping[str, int]


def write(bundle: Bundle) -> NamedGraph:
    """Write ``native.onnx`` beside ``model.onnx``, or replace it.

    Raises:
        UsageError: the operators compute nothing of this bundle.
        ResourceError: the folder can't be written to.
    """
    made = rewriting.rewrite(bundle.path / names.MODEL)
    if made is None:
        raise UsageError(
            f"native kernels compute nothing of {bundle.path / names.MODEL}",
            hint="export for the CPU with --precision int4 or int8",
        )
    file = bundle.path / names.NATIVE
    try:
        write_bytes(file, made.model)
    except OSError as error:
        raise ResourceError(
            f"{file} can't be written: {error.strerror}", hint="copy the bundle to where you may write"
        ) from error
    return NamedGraph(file, made.operators)
