"""A bundle's graph in ORT format, which ONNX Runtime's reduced ("minimal") builds read, and the operators such a build needs.

ONNX Runtime writes the format itself. It keeps every weight inside the file, also where external data is asked for, and one that
two initializers share in the bundle's data file (a tied embedding) twice.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.families.known import architecture_of
from youtu_onnx.runtimes.ort.session import write_optimized

MODEL = "model.ort"
OPERATORS = "required_operators.config"
OPERATORS_AND_TYPES = "required_operators_and_types.config"

LARGEST = 2**31 - 1
"""Bytes of a flatbuffer, whose offsets are signed 32-bit numbers."""


def convert(bundle: Bundle, folder: Path, progress: Progress) -> None:
    """Write :data:`MODEL`, :data:`OPERATORS` and :data:`OPERATORS_AND_TYPES` into a folder.

    Holds the weights two to three times while it works.

    Raises:
        UsageError: the graph with its weights is beyond the format's 2 GB.
        ResourceError: onnxruntime can't write the file.
    """
    size = _size(bundle.manifest)
    if size > LARGEST:
        raise UsageError(
            f"{size / 1e9:.2f} GB of graph and weights don't fit ORT format, whose files end at 2.15 GB",
            hint="use --format onnx, or export with --precision int4",
        )
    progress.begin("converting to ORT format")
    try:
        # without the one optimizer that rearranges weights for this machine's vectors; phones have others
        write_optimized(
            bundle, names.MODEL, folder / MODEL, threads=1, entries={"save_model_format": "ORT"}, without=["NchwcTransformer"]
        )
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise ResourceError(
            f"onnxruntime {ort.__version__} can't write {MODEL}: {str(error).strip()}",
            hint="free disk space and memory; or use --format onnx",
        ) from error
    for name, types in ((OPERATORS, False), (OPERATORS_AND_TYPES, True)):
        _write_operators(folder / MODEL, folder / name, types)


def _size(manifest: Manifest) -> int:
    """Bytes that the file will have, about: a tied embedding counts twice."""
    a, bits = architecture_of(manifest.model), {"fp32": 32, "fp16": 16, "int8": 8, "int4": 4}[manifest.recipe.precision]
    shared = a.vocab_size * a.hidden_size * bits // 8 if a.tie_word_embeddings else 0
    return shared + sum(manifest.files[name].size for name in (names.MODEL, names.MODEL_DATA))


def _write_operators(model: Path, config: Path, types: bool) -> None:
    """The list that a build's ``--include_ops_by_config`` takes."""
    try:
        from onnxruntime.tools.ort_format_model import create_config_from_models
    except ImportError as error:
        raise ResourceError(f"onnxruntime's tools can't be imported ({error})", hint="pip install flatbuffers") from error
    with _quiet():
        create_config_from_models([model], config, types)
    # the tool names the file by the path where it lay while it was written
    config.write_text(config.read_text(encoding="utf-8").replace(str(model), MODEL), encoding="utf-8")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tool reports to a logger that prints for itself."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
