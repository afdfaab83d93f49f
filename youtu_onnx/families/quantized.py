"""Checkpoints whose weights somebody quantized in a way that :mod:`youtu_onnx.core.prequantized` doesn't read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from youtu_onnx.core.checkpoint_files import CONFIG
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.foreign import some
from youtu_onnx.core.safetensors_files import TensorInfo, is_harmless

KEYS = ("quantization_config", "quantization", "compression_config")
"""Of ``config.json``: transformers', MLX', and compressed-tensors' older one."""
PARTS = (".qweight", ".qzeros", ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_packed", ".SCB", ".absmax", ".scales")
"""Ends of names of what stands beside quantized weights."""
ROUNDED = ("F8", "F6", "F4", "I8", "U8", "I16", "U16", "I32", "U32")
"""Beginnings of safetensors' names of dtypes that quantizers store."""
UNQUANTIZED = (
    "export from the checkpoint before it was quantized, in bfloat16, float16 or float32: export quantizes it itself "
    "(docs/checkpoints.md lists the formats that are read as they are)"
)


def refuse_quantized(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, TensorInfo], *, but: Collection[str] = ()
) -> None:
    """
    Args:
        tensors: all that are there.
        but: those that can be read.

    Raises:
        CheckpointError: other weights are quantized, or ``config.json`` says so and none can be read.
    """
    key = next((key for key in KEYS if config.get(key)), None)
    rounded = [name for name, info in tensors.items() if name not in but and (name.endswith(PARTS) or _is_rounded(name, info))]
    if key is not None and not but:
        hint = UNQUANTIZED
        if tensors and not rounded:
            hint += f"; the weights that are here are floats: where they are meant to be, delete {key} from {CONFIG}"
        raise CheckpointError(f"{folder} is quantized already: {CONFIG} has a {key} ({_method(config[key])})", hint=hint)
    if rounded:
        dtypes = sorted({tensors[name].dtype for name in rounded})
        raise CheckpointError(
            f"{folder} is quantized already: {len(rounded)} tensors ({some(dtypes)}) such as {rounded[0]}", hint=UNQUANTIZED
        )


def _is_rounded(name: str, info: TensorInfo) -> bool:
    return name.endswith(".weight") and info.dtype.startswith(ROUNDED) and not is_harmless(name)


def _method(found: Any) -> str:
    """What a config says of how it was done."""
    if not isinstance(found, Mapping):
        return repr(found)
    method = found.get("quant_method") or next((name for name in found if name.startswith("load_in_") and found[name]), None)
    bits = found.get("bits") or found.get("weight_bits")
    return ", ".join(filter(None, [str(method) if method else "", f"{bits} bits" if bits else ""])) or "of some kind"
