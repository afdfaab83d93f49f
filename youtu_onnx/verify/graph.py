"""What is inside a bundle's ``model.onnx``: operators, stored tensors, and whether it is what the manifest says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, ResourceError
from youtu_onnx.graphs.reading import load_graph
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.verify.provider import exact_options, usable_provider

ONNX_BITS = {
    "FLOAT": 32,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "INT64": 64,
    "INT32": 32,
    "INT8": 8,
    "UINT8": 8,
    "BOOL": 8,
    "DOUBLE": 64,
    "INT4": 4,
    "UINT4": 4,
}
ORT_TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}
INTEGER_INPUTS = {"input_ids": 2, "attention_mask": 2, "position_ids": 2}
"""Inputs beside the cache, with their rank; int64."""


@dataclass(frozen=True)
class Check:
    """One finding. ``passed`` None: it could not be checked here, and ``detail`` says why or what was noticed."""

    name: str
    passed: bool | None
    detail: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_graph(
    bundle: Bundle, provider: str | None = None, options: ProviderOptions | None = None, *, require_provider: bool = False
) -> tuple[Check, ...]:
    """Check ``model.onnx`` without its checkpoint: external data (where ``onnx`` is installed), interface, two tiny steps.

    Args:
        provider: to run on; None takes the target's, or the CPU where that isn't installed.
        options, require_provider: as :class:`youtu_onnx.runtimes.ort.model.OrtModel` has them.

    Raises:
        UsageError, ProviderError: the provider is unknown, has no such options, or can't start.
        ResourceError: too little memory to load it.
    """
    checks = [_check_external_data(bundle)]
    used = provider or usable_provider(bundle)
    try:
        model = OrtModel(
            bundle, used, options=exact_options(options, used), require_provider=require_provider, find=lambda _: None
        )  # the bundle's own graph
    except ResourceError:
        raise
    except BundleError as error:
        return (*checks, Check("load", False, error.message))
    try:
        checks.append(Check("load", True, f"onnxruntime opens it on {model.provider.name}: {model.placement.summary()}"))
        checks += [_check_interface(model), _check_steps(model)]
    finally:
        model.close()
    return tuple(checks)


def _check_external_data(bundle: Bundle) -> Check:
    """Every tensor that lies outside the graph is wholly inside the data file and as long as its shape says."""
    graph = load_graph(bundle)
    if graph is None:
        return Check("external data", None, "not checked: needs onnx (pip install onnx)")
    import onnx

    size, faults, outside = bundle.file(names.MODEL_DATA).stat().st_size, [], 0
    for tensor in graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        outside += 1
        entry = {item.key: item.value for item in tensor.external_data}
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        count = int(np.prod(list(tensor.dims), dtype=np.int64))
        offset, length = int(entry.get("offset", 0)), int(entry.get("length", -1))
        if entry.get("location") != names.MODEL_DATA:
            faults.append(f"{tensor.name} lies in {entry.get('location')!r}")
        elif offset < 0 or length < 0 or offset + length > size:
            faults.append(f"{tensor.name} ends at byte {offset + length} of {size}")
        elif kind in ONNX_BITS and length != -(-count * ONNX_BITS[kind] // 8):
            faults.append(f"{tensor.name} has {length} bytes for {count} {kind} numbers")
    if faults:
        return Check("external data", False, "; ".join(faults[:5]) + (f"; … {len(faults)} in all" if len(faults) > 5 else ""))
    return Check("external data", True, f"{outside} tensors lie inside {names.MODEL_DATA}")


def _check_interface(model: OrtModel) -> Check:
    """Types and shapes of inputs and outputs against the cache layout; names were checked when it was opened."""
    layout, vocab = model.bundle.manifest.cache, model.bundle.manifest.model.vocab_size
    floats, stored = ORT_TYPES[model.bundle.manifest.graph.float_dtype], ORT_TYPES[layout.dtype]
    expected: dict[str, tuple[str, list[int | None]]] = {
        name: ("tensor(int64)", [None] * rank) for name, rank in INTEGER_INPUTS.items()
    }
    expected["logits"] = (floats, [None, None, vocab])
    for tensor in layout.tensors:
        expected[tensor.past] = expected[tensor.present] = (stored, [None, tensor.heads, layout.length, tensor.width])
    faults = []
    for found in (*model.session.get_inputs(), *model.session.get_outputs()):
        kind, dims = expected[found.name]
        if found.type != kind:
            faults.append(f"{found.name} is {found.type}; expected {kind}")
        # a symbolic length may be any text or None, a literal one must agree
        elif len(found.shape) != len(dims) or any(
            isinstance(got, int) and want is not None and got != want for got, want in zip(found.shape, dims, strict=True)
        ):
            faults.append(f"{found.name} has shape {found.shape}; expected {dims}")
    detail = "; ".join(faults[:5]) if faults else f"{len(expected)} inputs and outputs are what the cache layout says"
    return Check("interface", not faults, detail)


def _check_steps(model: OrtModel) -> Check:
    """Three tokens, then one more, in a batch of two: shapes of logits and presents, and that all logits are finite."""
    layout, vocab = model.bundle.manifest.cache.tensors, model.bundle.manifest.model.vocab_size
    reserved = model.bundle.manifest.cache.length
    ids = np.array([[1, 2, 3], [3, 2, 1]]) % vocab
    if reserved is not None and reserved < 4:
        return Check("run", None, f"not checked: a cache of {reserved} tokens is too short")
    past, total = None, 0
    try:
        for part in (ids, ids[:, :1]):
            new = part.shape[1]
            positions = np.tile(np.arange(total, total + new), (2, 1))
            total += new
            logits, past = model.run(part, np.ones((2, total), np.int64), positions, past)
            if logits.shape != (2, new, vocab):
                return Check("run", False, f"logits of shape {list(logits.shape)}; expected {[2, new, vocab]}")
            if not np.isfinite(logits).all():
                return Check("run", False, f"{int((~np.isfinite(logits)).sum())} logits are NaN or infinite")
            for tensor, value in zip(layout, past, strict=True):
                expected = [2, tensor.heads, reserved or total, tensor.width]
                if list(value.shape()) != expected:
                    return Check(
                        "run",
                        False,
                        f"{tensor.present} has shape {list(value.shape())} after {total} tokens; expected {expected}",
                    )
    except BundleError as error:
        return Check("run", False, error.message)
    kind = "growing" if reserved is None else "static"
    return Check("run", True, f"a prefill and a decode step give finite logits and a {kind} cache")
