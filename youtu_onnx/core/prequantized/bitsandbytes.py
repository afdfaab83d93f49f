"""bitsandbytes' layouts: four bits that stand for numbers of a table (nf4, fp4), in blocks of the flattened matrix; int8 rows.

What there is to know beside the tensors is in one more tensor, bytes of JSON: see ``QuantState.as_dict`` there. Scales of blocks
may themselves be quantized, by a table of 256 numbers in blocks of their own ("double quantization").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.prequantized.packed import Kept
from youtu_onnx.core.prequantized.parts import check, unusable, whole
from youtu_onnx.core.safetensors_files import TensorInfo, read_rows

if TYPE_CHECKING:
    from torch import Tensor

STATE = ".weight.quant_state.bitsandbytes__"


@dataclass(frozen=True)
class TableMatrix:
    """Implements :class:`youtu_onnx.core.prequantized.packed.Packed`; nf4 and fp4.

    Attributes:
        block: numbers of the flattened matrix that share a scale.
        nested: of scales, those that share one; 0 where scales are floats.
        offset: of nested scales.
    """

    name: str
    shape: tuple[int, ...]
    method: str
    parts: dict[str, TensorInfo]
    block: int
    nested: int
    offset: float

    @classmethod
    def of(cls, stem: str, parts: dict[str, TensorInfo]) -> TableMatrix:
        """
        Raises:
            CheckpointError: parts that don't fit one another.
        """
        name, state = f"{stem}.weight", next(one for one in parts if STATE in one)
        fields = _fields(state, parts[state])
        shape, block, nested = fields.get("shape"), fields.get("blocksize"), fields.get("nested_blocksize", 0)
        sizes = [*shape, block] if isinstance(shape, list) and len(shape) == 2 else [0]
        if not all(type(size) is int and size > 0 for size in sizes) or type(nested) is not int or nested < 0:
            raise unusable(state, f"it says shape {shape}, blocksize {block} and nested_blocksize {nested}")
        rows, columns, block = sizes
        count = rows * columns
        blocks = -(-count // block)
        check(name, parts[name], ("U8",), (-(-count // 2), 1), (1, -(-count // 2)))
        needed = {"quant_map": (("float32",), (16,)), "absmax": (("U8",) if nested else ("float32",), (blocks,))}
        if nested:
            needed |= {"nested_quant_map": (("float32",), (256,)), "nested_absmax": (("float32",), (-(-blocks // nested),))}
        for part, (dtypes, expected) in needed.items():
            if f"{name}.{part}" not in parts:
                raise unusable(name, f"{name}.{part} is missing")
            check(f"{name}.{part}", parts[f"{name}.{part}"], dtypes, expected)
        offset = fields.get("nested_offset", 0.0)
        if type(offset) not in (int, float):
            raise unusable(state, f"it says nested_offset {offset!r}")
        method = f"bitsandbytes {state.partition(STATE)[2]}"
        return cls(name, (rows, columns), method, parts, block, nested, float(offset))

    @property
    def kept(self) -> Kept | None:
        return None

    def rows(self, start: int, stop: int) -> Tensor:
        import torch

        columns = self.shape[1]
        first, last = start * columns, stop * columns
        info = self.parts[self.name]
        flat = TensorInfo((info.nbytes,), info.dtype, info.file, info.offset, info.nbytes)
        octets = read_rows(self.name, flat, first // 2, -(-last // 2))
        places = torch.stack([octets >> 4, octets & 15], -1).flatten()[first % 2 :][: last - first]
        scales = self._scales()[torch.arange(first, last) // self.block]
        return (self._part("quant_map")[places.long()] * scales).view(stop - start, columns)

    def _scales(self) -> Tensor:
        """float32, one for each block."""
        import torch

        found = self._part("absmax")
        if not self.nested:
            return found
        outer = self._part("nested_absmax")[torch.arange(len(found)) // self.nested]
        return self._part("nested_quant_map")[found.long()] * outer + self.offset

    def _part(self, part: str) -> Tensor:
        return whole(f"{self.name}.{part}", self.parts[f"{self.name}.{part}"])


@dataclass(frozen=True)
class ByteMatrix:
    """Implements :class:`youtu_onnx.core.prequantized.packed.Packed`; LLM.int8's rows, each in 127ths of its largest number."""

    name: str
    shape: tuple[int, ...]
    method: str
    parts: dict[str, TensorInfo]

    @classmethod
    def of(cls, stem: str, parts: dict[str, TensorInfo]) -> ByteMatrix:
        """
        Raises:
            CheckpointError: parts that don't fit one another.
        """
        name = f"{stem}.weight"
        check(name, parts[name], ("I8",))
        if len(parts[name].shape) != 2 or not all(parts[name].shape):
            raise unusable(name, f"it has shape {list(parts[name].shape)}; expected a matrix")
        check(f"{stem}.SCB", parts[f"{stem}.SCB"], ("float32",), parts[name].shape[:1])
        return cls(name, parts[name].shape, "bitsandbytes int8", parts)

    @property
    def kept(self) -> Kept | None:
        return None

    def rows(self, start: int, stop: int) -> Tensor:
        stem = self.name.removesuffix(".weight")
        found = read_rows(self.name, self.parts[self.name], start, stop).float()
        return found * (whole(f"{stem}.SCB", self.parts[f"{stem}.SCB"])[start:stop, None] / 127)


def _fields(name: str, info: TensorInfo) -> dict[str, Any]:
    check(name, info, ("U8",))
    if len(info.shape) != 1 or not 0 < info.nbytes < 2**16:
        raise unusable(name, f"it has shape {list(info.shape)}; expected bytes of JSON")
    try:
        fields = json.loads(bytes(whole(name, info).tolist()))
    except (ValueError, RecursionError) as error:
        raise unusable(name, f"its bytes are no JSON ({error})") from error
    if not isinstance(fields, dict):
        raise unusable(name, f"it holds a JSON {type(fields).__name__}; expected an object")
    return fields
