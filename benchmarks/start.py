"""The parts of a start: reading a bundle's graph, packing its weights, the first tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.runtimes.ort.session import open_graph, session_options
from youtu_onnx.runtimes.providers import providers
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import ProviderOptions

PROMPT = 16


def start(bundle: Bundle, threads: int, rounds: int) -> dict[str, float]:
    """Seconds of the parts of a start in this process, medians; files are in the system's cache."""
    packing: list[float] = []
    bare: list[float] = []
    optimized: list[float] = []
    prompt: list[float] = []
    path = bundle.file(names.MODEL)
    for _ in range(rounds):
        for found, disable, level in (
            (bare, "1", None),
            (packing, "0", None),
            (optimized, "0", ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
        ):
            options = session_options(bundle, providers.provider("cpu"), threads)
            options.add_session_config_entry("session.disable_prepacking", disable)
            if level is not None:
                options.graph_optimization_level = level
            with _timed(found):
                session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            if found is packing:
                with _timed(prompt):
                    _read(session, bundle)
            del session
    whole = median(packing)
    return {
        "reading the graph, mapping the weights": median(bare),
        "packing the weights": whole - median(bare),
        f"the first {PROMPT} tokens": median(prompt),
        "optimizing the graph, where that is done": median(optimized) - whole,
    }


def native_start(bundle: Bundle, threads: int, rounds: int) -> dict[str, float]:
    """As :func:`start`, with the native kernels, which pack nothing."""
    opening: list[float] = []
    prompt: list[float] = []
    for _ in range(rounds):
        with _timed(opening):
            opened = open_graph(bundle, names.MODEL, CPU, threads, ProviderOptions(kernels="native"))
        with _timed(prompt):
            _read(opened.session, bundle)
        del opened
    return {
        "reading the graph, putting operators in, mapping the weights": median(opening),
        f"the first {PROMPT} tokens": median(prompt),
    }


def _read(session: ort.InferenceSession, bundle: Bundle) -> None:
    cache = bundle.manifest.cache
    feeds: dict[str, Any] = {tensor.past: np.zeros((1, 1, 0, tensor.width), cache.dtype) for tensor in cache.tensors}
    feeds |= {
        "input_ids": np.ones((1, PROMPT), np.int64),
        "attention_mask": np.ones((1, PROMPT), np.int64),
        "position_ids": np.arange(PROMPT)[None],
    }
    session.run(["logits"], feeds)


@contextmanager
def _timed(found: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    found.append(time.perf_counter() - started)
