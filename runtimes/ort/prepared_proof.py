"""Logits by which a prepared copy is shown to compute what its bundle computes. Every packed weight is used."""

from __future__ import annotations

import time

import numpy as np

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import VerificationError
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.prepared import Prepared
from youtu_onnx.runtimes.ort.session import AS_IT_IS


def model_logits(bundle: Bundle, copy: Prepared | None) -> tuple[np.ndarray, float]:
    """Logits ``[1, 16, V]`` of the bundle or its copy, and the seconds that opening took."""
    started = time.perf_counter()
    model = OrtModel(bundle, "cpu", options=AS_IT_IS, find=lambda _: copy)
    seconds = time.perf_counter() - started
    _check_opened(model.prepared, copy)
    ids = 7 * np.arange(16)[None] % bundle.manifest.model.vocab_size
    logits, _ = model.run(ids, np.ones_like(ids), np.arange(16)[None])
    model.close()
    return logits, round(seconds, 3)


def batch_logits(bundle: Bundle, copy: Prepared | None) -> tuple[np.ndarray, float]:
    """As :func:`model_logits`, of the batch graph: ``[3, V]``, of a chunk so long that keys and values are expanded, then of its
    sequence in a slot and of a chunk so short that they aren't."""
    started = time.perf_counter()
    model = BatchModel(bundle, options=AS_IT_IS, find=lambda _: copy)
    seconds = time.perf_counter() - started
    _check_opened(model.prepared, copy)
    count = min(bundle.manifest.graph.expands_from or 1, model.context_length - 1)
    ids = [7 * one % model.vocab_size for one in range(count)]
    first, second = model.new_cache(), model.new_cache()
    rows = [model.step({}, Chunk(first, ids, True)), model.step({0: (first, 3)}, Chunk(second, ids[:2], True))]
    model.close()
    return np.concatenate(rows), round(seconds, 3)


def _check_opened(opened: Prepared | None, copy: Prepared | None) -> None:
    if opened is not copy:
        raise VerificationError(
            "onnxruntime can't open the copy that it wrote; it was not kept",
            hint="report this, with the output of youtu-onnx doctor; the bundle runs as it is",
        )
