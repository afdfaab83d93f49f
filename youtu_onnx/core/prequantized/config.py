"""What ``quantization_config`` says of the form in which weights are packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from youtu_onnx.core.errors import CheckpointError

Layout = Literal["gptq", "awq", "compressed-tensors", "fp8", "bitsandbytes"]
GROUPED = ("gptq", "awq")
"""Layouts of which ``qweight`` is the main part."""
KEYS = ("quantization_config", "compression_config")
"""Of ``config.json``; the second is compressed-tensors' older one."""
FULL_FLOATS = (None, 16, 32)
"""Bits of activations that are not rounded."""
ONLY_WEIGHTS = (
    "activations are rounded there, too, says quantization_config; a bundle takes the weights alone, and rounds activations its "
    "own way"
)


@dataclass(frozen=True)
class Quantization:
    """Attributes:
    layout: how parts are named and packed.
    method: for people.
    bits, group_size: of most matrices; None where they are to be seen.
    off_by_one: zero points are stored less one.
    symmetric: all zero points are the middle value.
    block: rows and columns that share a scale (fp8).
    remarks: of what isn't taken over.
    """

    layout: Layout
    method: str
    bits: int | None = None
    group_size: int | None = None
    off_by_one: bool = False
    symmetric: bool = False
    block: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()


def quantization(config: Mapping[str, Any]) -> Quantization | None:
    """None where nothing is said, or of a method that isn't read.

    Raises:
        CheckpointError: a form of a method whose other forms are read.
    """
    said = next((config[key] for key in KEYS if config.get(key)), None)
    if not isinstance(said, Mapping):
        return None
    method = str(said.get("quant_method", "")).lower().replace("_", "-")
    if not method and (said.get("load_in_4bit") or said.get("load_in_8bit")):
        method = "bitsandbytes"
    if not method and "compression_config" in config:
        method = "compressed-tensors"
    readers: Mapping[str, Callable[[Mapping[str, Any]], Quantization]] = {
        "gptq": _gptq,
        "awq": _awq,
        "auto-round": _auto_round,
        "intel/auto-round": _auto_round,
        "compressed-tensors": _compressed_tensors,
        "fp8": _fp8,
        "fbgemm-fp8": lambda _: Quantization("compressed-tensors", "fbgemm", remarks=(ONLY_WEIGHTS,)),
        "bitsandbytes": lambda _: Quantization("bitsandbytes", "bitsandbytes"),
    }
    return readers[method](said) if method in readers else None


def _gptq(said: Mapping[str, Any]) -> Quantization:
    form = str(said.get("checkpoint_format") or said.get("format") or "gptq").lower()
    if form not in ("gptq", "gptq_v2"):
        raise _unread("checkpoint_format", form, "gptq and gptq_v2")
    return _grouped(said, "gptq", "GPTQ", off_by_one=form == "gptq")


def _awq(said: Mapping[str, Any]) -> Quantization:
    backend = str(said.get("backend") or "").lower()
    form = "llm-awq" if backend == "llm-awq" else str(said.get("version") or said.get("format") or "gemm").lower()
    if form != "gemm":
        raise _unread("version", form, "gemm")
    found = _grouped(said, "awq", "AWQ", off_by_one=False)
    if found.bits not in (None, 4):
        raise _unread("bits", str(found.bits), "4 of AWQ")
    return found


def _auto_round(said: Mapping[str, Any]) -> Quantization:
    """Forms and what they store are those of AutoRound's ``dynamic_import_quant_linear_for_packing``."""
    form = str(said.get("packing_format") or said.get("backend") or "auto_round:auto_gptq").lower()
    if said.get("data_type", "int") != "int":
        raise _unread("data_type", str(said["data_type"]), "int")
    remarks = () if said.get("act_bits") in FULL_FLOATS else (ONLY_WEIGHTS,)
    if form.rpartition(":")[2] in ("auto_awq", "awq") or ":awq:" in form:
        return _grouped(said, "awq", "AutoRound", off_by_one=False, remarks=remarks)
    if "gptq" in form:
        return _grouped(said, "gptq", "AutoRound", off_by_one="gptqmodel" not in form, remarks=remarks)
    if form in ("auto_round", "auto_round:exllamav2", "auto_round:tritonv2"):
        return _grouped(said, "gptq", "AutoRound", off_by_one=False, remarks=remarks)
    raise _unread("packing_format", form, "auto_round:auto_gptq, auto_round:gptqmodel, auto_round and auto_round:auto_awq")


def _grouped(
    said: Mapping[str, Any], layout: Layout, method: str, *, off_by_one: bool, remarks: tuple[str, ...] = ()
) -> Quantization:
    exceptions = said.get("dynamic") or said.get("extra_config")
    symmetric = said.get("sym") is True and not exceptions
    return Quantization(
        layout,
        method,
        _whole(said, "bits", "w_bit"),
        _whole(said, "group_size", "q_group_size"),
        off_by_one,
        symmetric,
        remarks=remarks,
    )


def _compressed_tensors(said: Mapping[str, Any]) -> Quantization:
    sparsity, transforms = said.get("sparsity_config"), said.get("transform_config")
    if isinstance(sparsity, Mapping) and sparsity.get("format") not in (None, "dense"):
        raise _unread("sparsity_config.format", str(sparsity["format"]), "dense")
    if isinstance(transforms, Mapping) and transforms.get("config_groups"):
        raise _unread("transform_config", "not empty", "weights that nothing is turned around at run time for")
    groups = said.get("config_groups")
    schemes = [one for one in groups.values() if isinstance(one, Mapping)] if isinstance(groups, Mapping) else []
    remarks = [ONLY_WEIGHTS] if any(one.get("input_activations") for one in schemes) else []
    if said.get("kv_cache_scheme"):
        remarks.append("the cache is rounded there, says kv_cache_scheme; a bundle's is as --cache says")
    blocks = {size for one in schemes if (size := _block(one.get("weights"), "block_structure")) is not None}
    block = blocks.pop() if len(blocks) == 1 else None
    return Quantization("compressed-tensors", "compressed-tensors", block=block, remarks=tuple(remarks))


def _fp8(said: Mapping[str, Any]) -> Quantization:
    default = {"weight_block_size": said.get("weight_block_size", [128, 128])}
    remarks = (ONLY_WEIGHTS,) if said.get("activation_scheme") == "static" else ()
    return Quantization("fp8", "DeepSeek", block=_block(default, "weight_block_size"), remarks=remarks)


def _block(said: Any, key: str) -> tuple[int, int] | None:
    found = said.get(key) if isinstance(said, Mapping) else None
    if isinstance(found, str):  # as older files of compressed-tensors have it: "128x128"
        found = [int(part) if part.isdecimal() else 0 for part in found[:32].split("x")]
    if isinstance(found, list) and len(found) == 2 and all(type(one) is int and one > 0 for one in found):
        return found[0], found[1]
    return None


def _whole(said: Mapping[str, Any], *names: str) -> int | None:
    found = next((said[name] for name in names if name in said), None)
    return found if type(found) is int else None


def _unread(key: str, found: str, read: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint is quantized already, and its quantization_config has {key} {found!r}; read is {read}",
        hint="export from the checkpoint before it was quantized, in bfloat16, float16 or float32",
    )
