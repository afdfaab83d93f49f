"""Which matrices of a checkpoint are packed, and in which format: ``config.json`` names it, names and shapes say the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from youtu_onnx.core.prequantized.awq import AwqMatrix
from youtu_onnx.core.prequantized.bitsandbytes import STATE, ByteMatrix, TableMatrix
from youtu_onnx.core.prequantized.config import GROUPED, Quantization, quantization
from youtu_onnx.core.prequantized.float8 import DTYPE, Float8Matrix
from youtu_onnx.core.prequantized.gptq import GptqMatrix
from youtu_onnx.core.prequantized.pack_quantized import PackedMatrix
from youtu_onnx.core.prequantized.packed import Packed, stored_info
from youtu_onnx.core.prequantized.parts import unusable
from youtu_onnx.core.safetensors_files import TensorInfo

Tensors = Mapping[str, TensorInfo]
Shapes = Mapping[str, tuple[int, ...]]
ACTIVATIONS = (".input_scale", ".output_scale", ".activation_scale", ".input_scale_ub", ".input_zero_point")
"""Ends of names of what rounds activations."""


@dataclass(frozen=True)
class Found:
    """What a checkpoint's tensors are.

    Attributes:
        packed: by the name under which the model knows the matrix.
        tensors: all of the model's, with one for each that is packed, and without their parts.
        remarks: sentences about what is left out.
    """

    tensors: Tensors
    packed: Mapping[str, Packed] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def packed_among(config: Mapping[str, Any], tensors: Tensors, needed: Shapes) -> Found:
    """
    Args:
        config: ``config.json``.
        tensors: all that the files have, under the model's names.
        needed: shapes that the architecture asks for.

    Raises:
        CheckpointError: a form of the named format that isn't read, or parts that are missing or don't fit one another.
    """
    said = quantization(config)
    if said is None:
        return Found(tensors)
    packed: dict[str, Packed] = {}
    taken: set[str] = set()
    for stem, parts in _modules(said, tensors).items():
        shape = needed.get(f"{stem}.weight")
        one = _matrix(said, stem, parts, shape[1] if shape is not None and len(shape) == 2 else None)
        packed[one.name] = one
        taken |= parts.keys()
    if not packed:
        return Found(tensors)
    idle = {name for name in tensors if name.endswith(ACTIVATIONS)}
    rest = {name: info for name, info in tensors.items() if name not in taken | idle}
    remarks = list(said.remarks)
    if idle and not said.remarks:
        remarks.append("scales of activations are left out: a bundle rounds its weights alone as the checkpoint has them")
    return Found(rest | {name: stored_info(one) for name, one in packed.items()}, packed, tuple(remarks))


def _matrix(said: Quantization, stem: str, parts: dict[str, TensorInfo], columns: int | None) -> Packed:
    """One module's weight, of the format that the config names.

    Raises:
        CheckpointError: as :func:`packed_among`.
    """
    if said.layout == "gptq":
        numbers = (said.bits, said.group_size)
        off, symmetric = said.off_by_one, said.symmetric
        return GptqMatrix.of(stem, parts, said.method, columns, numbers, off_by_one=off, symmetric=symmetric)
    if said.layout == "awq":
        return AwqMatrix.of(stem, parts, said.method, said.group_size)
    if said.layout == "bitsandbytes":
        return ByteMatrix.of(stem, parts) if f"{stem}.SCB" in parts else TableMatrix.of(stem, parts)
    weight = parts.get(f"{stem}.weight")
    if weight is not None and weight.dtype == DTYPE:
        return Float8Matrix.of(stem, parts, f"{said.method} fp8", said.block)
    return PackedMatrix.of(stem, parts, said.method, columns)


def _modules(said: Quantization, tensors: Tensors) -> dict[str, dict[str, TensorInfo]]:
    """By a module's name the parts of its weight, by the names that the files have."""
    if said.layout in GROUPED:
        return _with(tensors, ".qweight", (".scales", ".qzeros"), (".g_idx",))
    if said.layout == "bitsandbytes":
        return _of_bitsandbytes(tensors)
    scale = ".weight_scale_inv" if said.layout == "fp8" else ".weight_scale"
    packed = _with(tensors, ".weight_packed", (scale,), (".weight_shape", ".weight_zero_point", ".weight_g_idx"))
    rounded = _with(tensors, ".weight", (scale,), (".weight_zero_point",), lambda info: info.dtype in (DTYPE, "I8"))
    return packed | rounded


def _with(
    tensors: Tensors,
    main: str,
    needed: tuple[str, ...],
    more: tuple[str, ...],
    is_one: Callable[[TensorInfo], bool] = lambda _: True,
) -> dict[str, dict[str, TensorInfo]]:
    """Modules that have a part ``main``, with others that each has to have, and such as it may have."""
    found = {}
    for name, info in tensors.items():
        if not name.endswith(main) or not is_one(info):
            continue
        stem = name.removesuffix(main)
        missing = [stem + part for part in needed if stem + part not in tensors]
        if missing:
            raise unusable(name, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        found[stem] = {stem + part: tensors[stem + part] for part in (main, *needed, *more) if stem + part in tensors}
    return found


def _of_bitsandbytes(tensors: Tensors) -> dict[str, dict[str, TensorInfo]]:
    found = {}
    for name, info in tensors.items():
        stem = name.removesuffix(".weight")
        if not name.endswith(".weight") or info.dtype not in ("U8", "I8"):
            continue
        parts = {one: tensors[one] for one in tensors if one.startswith(f"{name}.") or one == f"{stem}.SCB"} | {name: info}
        if not any(STATE in one or one.endswith(".SCB") for one in parts):
            raise unusable(name, "neither SCB nor a quant_state is beside it")
        if f"{stem}.weight_format" in tensors:
            parts[f"{stem}.weight_format"] = tensors[f"{stem}.weight_format"]
        found[stem] = parts
    return found
