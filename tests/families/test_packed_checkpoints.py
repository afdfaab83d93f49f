"""Quantized checkpoints as files that nobody vouches for: what is read, what is refused with the tensor's name and a way out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from tests.packed_formats import CONFIG, Matrix, Tensors, awq, gptq, pack_quantized, packed_checkpoint, rounded, scheme
from tests.tiny_checkpoint import random_tensors, write_checkpoint
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}
STEM = "model.layers.0.mlp.down_proj"
FORMATS: dict[str, tuple[dict[str, Any], Callable[[str, Matrix], Tensors]]] = {
    "gptq": (GPTQ, gptq),
    "awq": (AWQ, awq),
    "compressed-tensors": (scheme(size=32), pack_quantized),
}


def made(folder: Path, form: str, **more: Any) -> Path:
    said, write = FORMATS[form]
    return packed_checkpoint(folder, said | more, lambda stem, weight: rounded(weight, 32), write).folder


def change(folder: Path, part: str, to: Callable[[torch.Tensor], torch.Tensor] | None) -> None:
    """One part of one matrix; None takes it away."""
    tensors = load_file(str(folder / "model.safetensors"))
    old = tensors.pop(f"{STEM}.{part}")
    if to is not None:
        tensors[f"{STEM}.{part}"] = to(old).contiguous()
    save_file(tensors, str(folder / "model.safetensors"))


def refusal(folder: Path) -> CheckpointError:
    """Opened, or read."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder).tensor(f"{STEM}.weight")
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("form", "part", "to", "said"),
    [
        ("gptq", "scales", None, r"down_proj.qweight can't be unpacked: .*down_proj.scales is missing"),
        ("gptq", "qzeros", None, "down_proj.qzeros is missing"),
        ("awq", "qzeros", None, "down_proj.qzeros is missing"),
        ("compressed-tensors", "weight_scale", None, "down_proj.weight_scale is missing"),
        ("gptq", "qweight", lambda t: t[:6], "packed in 2 bits"),
        ("gptq", "qweight", lambda t: t.view(torch.int16), "is I16; expected I32"),
        ("gptq", "qweight", lambda t: t.flatten(), "expected matrices"),
        ("gptq", "qweight", lambda t: t[:9], "packed in 3 bits"),
        ("gptq", "scales", lambda t: t[:, :5], r"scales .* has shape \[3, 5\]; expected \[3, 64\]"),
        ("gptq", "scales", lambda t: t.int(), "scales .* is I32; expected float32"),
        ("gptq", "scales", lambda t: t * float("nan"), "NaN"),
        ("gptq", "qzeros", lambda t: t[:2], r"qzeros .* has shape \[2, 8\]; expected \[3, 8\]"),
        ("gptq", "g_idx", lambda t: t + 2, "names groups 2 to 4, and there are 3"),
        ("gptq", "g_idx", lambda t: t - 1, "names groups -1 to 1, and there are 3"),
        ("gptq", "g_idx", lambda t: t[:7], r"g_idx .* has shape \[7\]; expected \[96\]"),
        ("gptq", "g_idx", lambda t: t.float(), "g_idx .* is float32; expected I32"),
        ("awq", "qweight", lambda t: t[:, :3], r"scales .* has shape \[3, 64\]; expected \[3, 24\]"),
        ("awq", "qzeros", lambda t: t[:, :3], r"qzeros .* has shape \[3, 3\]"),
        ("compressed-tensors", "weight_packed", lambda t: t[:, :3], "3 words for 96 numbers are 1 bits"),
        ("compressed-tensors", "weight_packed", lambda t: t[:5], "weight_scale .* for 5 rows"),
        ("compressed-tensors", "weight_scale", lambda t: torch.cat([t, t[:, :2]], 1), "96 numbers and 5 scales"),
        ("compressed-tensors", "weight_zero_point", lambda t: t[:3], r"weight_zero_point .* expected \[8, 3\]"),
    ],
)  # fmt: skip
def test_parts_that_cannot_be(tmp_path: Path, form: str, part: str, to: Any, said: str) -> None:
    change(made(tmp_path, form), part, to)
    error = refusal(tmp_path)
    assert STEM in error.message
    assert re.search(said, error.message), error.message


@pytest.mark.parametrize(
    ("form", "more", "said"),
    [
        ("gptq", {"checkpoint_format": "marlin"}, "checkpoint_format 'marlin'; read is gptq and gptq_v2"),
        ("awq", {"version": "gemv"}, "version 'gemv'; read is gemm"),
        ("awq", {"backend": "llm-awq"}, "version 'llm-awq'"),
        ("awq", {"bits": 3}, "bits '3'"),
        ("gptq", {"quant_method": "auto-round", "packing_format": "auto_round:llm_compressor"}, "packing_format"),
        ("gptq", {"quant_method": "auto-round", "data_type": "mx_fp"}, "data_type 'mx_fp'; read is int"),
        ("compressed-tensors", {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config.format"),
        ("compressed-tensors", {"transform_config": {"config_groups": {"u": {}}}}, "transform_config"),
    ],
)
def test_forms_that_are_not_read(tmp_path: Path, form: str, more: dict[str, Any], said: str) -> None:
    made(tmp_path, form, **more)
    assert said in refusal(tmp_path).message


def test_a_symmetric_file_whose_zero_points_are_off_by_one_was_read_as_the_wrong_version(tmp_path: Path) -> None:
    said = GPTQ | {"sym": True, "checkpoint_format": "gptq_v2"}
    packed_checkpoint(tmp_path, said, lambda stem, weight: rounded(weight, 32, symmetric=True), gptq)
    with pytest.raises(CheckpointError, match=r"so zero points are 8, and here are \[7\]") as caught:
        checkpoint = Checkpoint.open(tmp_path)
        checkpoint.tensor(f"{STEM}.weight")
    assert "correct checkpoint_format, which is read as version 2" in str(caught.value.hint)


def test_a_matrix_packed_in_another_way_than_the_config_names_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path, "gptq")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": scheme()}))
    assert "is quantized already: config.json has a quantization_config (compressed-tensors)" in refusal(folder).message


@pytest.mark.parametrize("name", FORMATS)
def test_names_from_around_the_model_are_left_out(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path, name)
    tensors = load_file(str(folder / "model.safetensors"))
    save_file({f"_orig_mod.{key}": tensor for key, tensor in tensors.items()}, str(folder / "model.safetensors"))
    assert f"{STEM}.weight" in Checkpoint.open(folder).packed


# What is dequantized


def test_float8_in_blocks(tmp_path: Path) -> None:
    """As DeepSeek has it: the last block of rows or columns may be smaller."""
    tensors, floats = random_tensors(CONFIG), {}
    packed: Tensors = {}
    for name, weight in tensors.items():
        if "mlp" in name:
            stored = (weight * 50).to(torch.float8_e4m3fn)
            scales = torch.rand(-(-weight.shape[0] // 40), -(-weight.shape[1] // 40)) + 0.5
            packed |= {name: stored, f"{name}_scale_inv": scales}
            floats[name] = torch.stack(
                [
                    torch.stack([stored[i, j].float() * scales[i // 40, j // 40] for j in range(weight.shape[1])])
                    for i in range(weight.shape[0])
                ]
            )
        else:
            packed[name] = weight
    said = {"quant_method": "fp8", "weight_block_size": [40, 40], "activation_scheme": "dynamic"}
    write_checkpoint(tmp_path, CONFIG | {"quantization_config": said}, packed)
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.packed.keys() == floats.keys()
    for name, wanted in floats.items():
        assert torch.equal(checkpoint.tensor(name), wanted)
        assert torch.equal(checkpoint.rows(name, 38, 43), wanted[38:43])
        assert checkpoint.packed[name].kept is None


@pytest.mark.parametrize("zeros", [False, True])
def test_bytes_of_compressed_tensors(tmp_path: Path, zeros: bool) -> None:
    """int-quantized: signed bytes, and a scale for each row."""
    tensors, random = random_tensors(CONFIG), torch.Generator().manual_seed(4)
    name = f"{STEM}.weight"
    shape = tensors[name].shape
    codes = torch.randint(-128, 128, shape, generator=random).to(torch.int8)
    scales, middles = (
        torch.rand(shape[0], 1, generator=random),
        torch.randint(-9, 9, (shape[0], 1), generator=random).to(torch.int8),
    )
    tensors |= {name: codes, f"{STEM}.weight_scale": scales} | ({f"{STEM}.weight_zero_point": middles} if zeros else {})
    said = scheme(bits=8, size=-1, symmetric=not zeros) | {"format": "int-quantized"}
    said["config_groups"]["group_0"]["input_activations"] = {"num_bits": 8, "dynamic": True}
    write_checkpoint(tmp_path, CONFIG | {"quantization_config": said}, tensors)
    checkpoint = Checkpoint.open(tmp_path)
    wanted = (codes.float() - (middles.float() if zeros else 0)) * scales
    assert torch.equal(checkpoint.tensor(name), wanted)
    kept = checkpoint.packed[name].kept
    assert kept is not None
    assert (kept.bits, kept.symmetric) == (8, not zeros)
    assert any("activations are rounded there" in remark for remark in checkpoint.remarks)


@pytest.mark.parametrize("nested", [False, True])
def test_four_bits_of_a_table(tmp_path: Path, nested: bool) -> None:
    """nf4, written number by number; with ``nested``, scales are places in a table of their own."""
    tensors, random = random_tensors(CONFIG), torch.Generator().manual_seed(3)
    name = f"{STEM}.weight"
    rows, columns = tensors[name].shape
    table, places = torch.linspace(-1, 1, 16), torch.randint(0, 16, (rows * columns,), generator=random)
    blocks = rows * columns // 64
    state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [rows, columns]}
    more: Tensors = {"quant_map": table}
    if nested:
        state |= {"nested_blocksize": 32, "nested_offset": 0.25, "nested_dtype": "float32"}
        inner, outer, scale_table = torch.randint(0, 256, (blocks,), generator=random), torch.rand(3), torch.linspace(-1, 1, 256)
        more |= {"absmax": inner.to(torch.uint8), "nested_absmax": outer, "nested_quant_map": scale_table}
        scales = [scale_table[inner[b]] * outer[b // 32] + 0.25 for b in range(blocks)]
    else:
        more["absmax"] = torch.rand(blocks, generator=random)
        scales = list(more["absmax"])
    wanted = torch.stack([table[places[i]] * scales[i // 64] for i in range(rows * columns)]).view(rows, columns)
    tensors[name] = ((places[0::2] << 4) | places[1::2]).to(torch.uint8).view(-1, 1)
    tensors |= {f"{name}.{part}": tensor for part, tensor in more.items()}
    tensors[f"{name}.quant_state.bitsandbytes__nf4"] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    write_checkpoint(tmp_path, CONFIG | {"quantization_config": {"load_in_4bit": True}}, tensors)
    checkpoint = Checkpoint.open(tmp_path)
    assert torch.equal(checkpoint.tensor(name), wanted)
    assert torch.equal(checkpoint.rows(name, 5, 8), wanted[5:8])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (b"no json", "no JSON"),
        (b"[1]", "holds a JSON list"),
        (b'{"shape": [64, 96], "blocksize": 0}', "blocksize 0"),
        (b'{"shape": [64], "blocksize": 64}', r"shape \[64\]"),
        (b'{"shape": [64, 960], "blocksize": 64}', "expected"),
        (b'{"shape": [64, 96], "blocksize": 64, "nested_blocksize": -1}', "nested_blocksize -1"),
        (b'{"shape": [64, 96], "blocksize": 64}', "quant_map is missing"),
    ],
)
def test_states_that_cannot_be(tmp_path: Path, state: bytes, said: str) -> None:
    tensors = random_tensors(CONFIG)
    name = f"{STEM}.weight"
    tensors[name] = torch.zeros(64 * 96 // 2, 1, dtype=torch.uint8)
    tensors[f"{name}.quant_state.bitsandbytes__nf4"] = torch.tensor(list(state), dtype=torch.uint8)
    write_checkpoint(tmp_path, CONFIG | {"quantization_config": {"quant_method": "bitsandbytes"}}, tensors)
    with pytest.raises(CheckpointError, match=said):
        Checkpoint.open(tmp_path)
