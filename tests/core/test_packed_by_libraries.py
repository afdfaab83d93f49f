"""What the formats' own libraries write is what the tests' own writers do, and is read as the libraries themselves read it.

None of these is needed for anything else, and most ask for much; each part is skipped where its library isn't installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from tests.packed_formats import Matrix, Tensors, awq, gptq, pack_quantized, rounded, scheme
from youtu_onnx.core.prequantized.found import packed_among
from youtu_onnx.core.safetensors_files import read_headers

WEIGHT = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
ONE = rounded(WEIGHT, 32)


def linear(one: Matrix) -> torch.nn.Linear:
    made = torch.nn.Linear(one.codes.shape[1], one.codes.shape[0], bias=False)
    made.weight.data = one.floats.clone()
    return made


def read(folder: Path, said: dict[str, Any], tensors: Tensors, shape: tuple[int, ...] = (64, 96)) -> torch.Tensor:
    """The one matrix, ``x``, as this project reads it."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(folder / "model.safetensors"))
    headers, _ = read_headers((folder / "model.safetensors",))
    found = packed_among({"quantization_config": said}, headers, {"x.weight": shape})
    assert found.packed["x.weight"].shape == shape
    return found.packed["x.weight"].rows(0, shape[0])


def assert_equal(module: Any, wanted: Tensors) -> None:
    for name, tensor in wanted.items():
        assert torch.equal(getattr(module, name.removeprefix("x.")), tensor), name


def test_gptq_of_gptqmodel() -> None:
    torch_linear = pytest.importorskip("gptqmodel.nn_modules.qlinear.torch").TorchLinear
    to_v1 = pytest.importorskip("gptqmodel.utils.model").convert_gptq_v2_to_v1_format_module
    order = torch.randperm(96, generator=torch.Generator().manual_seed(1))
    for one in (ONE, rounded(WEIGHT, 32, order=order)):
        module = torch_linear(
            bits=4,
            group_size=32,
            sym=False,
            desc_act=True,
            in_features=96,
            out_features=64,
            bias=False,
            register_buffers=True,
        )
        module.pack_original(linear(one), one.scales.float(), one.zeros.float(), one.groups)
        assert_equal(module, gptq("x", one, version=2))

        class Config:
            bits, pack_dtype = 4, torch.int32

        to_v1(module, Config)
        assert_equal(module, gptq("x", one, version=1))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("zeros", [(0, 5, 0, 15), (0, 0, 0, 0), (15, 0, 1, 14)])
def test_gptq_s_zero_points_that_are_0_borrow_from_their_neighbours(tmp_path: Path, version: int, zeros: tuple[int, ...]) -> None:
    """GPTQModel subtracts ones from whole words, and adds them again when it loads."""
    one = Matrix(
        ONE.codes, ONE.scales, torch.tensor(zeros * 16, dtype=torch.uint8)[:, None].expand(64, 3).contiguous(), ONE.groups
    )
    tensors = gptq("x", one, version=2)
    if version == 1:
        tensors["x.qzeros"] -= 0x11111111
    said = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq_v2" if version == 2 else "gptq"}
    assert torch.equal(read(tmp_path, said, tensors), one.floats)


@pytest.mark.parametrize(("packing", "version"), [("qlinear_torch_zp", 1), ("qlinear_torch", 2)])
def test_auto_round(packing: str, version: int) -> None:
    module = pytest.importorskip(f"auto_round_extension.torch.{packing}").QuantLinear(4, 32, 96, 64, False)
    module.device = "cpu"
    module.pack(linear(ONE), ONE.scales.float(), ONE.zeros.float(), None, device="cpu")
    assert_equal(module, gptq("x", ONE, version=version, g_idx=False))


def test_awq_of_auto_round() -> None:
    made = pytest.importorskip("auto_round.export.export_to_awq.utils").WQLinear_GEMM.from_linear(
        linear(ONE), 4, 32, scales=ONE.scales.float().T.contiguous(), zeros=ONE.zeros.float().T.contiguous(), device="cpu"
    )
    assert_equal(made, awq("x", ONE))


def test_awq_of_gptqmodel() -> None:
    unpacking = pytest.importorskip("gptqmodel.quantization.awq.utils.packing_utils")
    made = awq("x", ONE)
    numbers = unpacking.reverse_awq_order(*unpacking.unpack_awq(made["x.qweight"], made["x.qzeros"], 4), 4)
    codes, zeros = (part & 15 for part in numbers)
    assert torch.equal(codes.to(torch.uint8), ONE.codes.T)
    assert torch.equal(zeros.to(torch.uint8), ONE.zeros.T)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("size", [32, -1])
def test_compressed_tensors(tmp_path: Path, symmetric: bool, bits: int, size: int) -> None:
    compressor = pytest.importorskip("compressed_tensors.compressors.pack_quantized").PackedQuantizationCompressor
    quantization = pytest.importorskip("compressed_tensors.quantization")
    one = rounded(WEIGHT, size, symmetric=symmetric, bits=bits)
    said = scheme(bits=bits, size=size, symmetric=symmetric)
    args = quantization.QuantizationScheme(targets=["Linear"], weights=said["config_groups"]["group_0"]["weights"])
    zeros = (one.zeros.int() - 2 ** (bits - 1)).to(torch.int8)
    given = {"weight": one.floats, "weight_scale": one.scales.float(), "weight_zero_point": zeros}
    made = compressor.compress(given, args)
    wanted = pack_quantized("x", one, symmetric=symmetric)
    assert {f"x.{name}" for name in made} == set(wanted)
    assert all(torch.equal(made[name.removeprefix("x.")].float(), tensor.float()) for name, tensor in wanted.items())
    theirs = compressor.decompress(dict(made), args)["weight"]
    assert torch.equal(read(tmp_path, said, {f"x.{name}": tensor for name, tensor in made.items()}), theirs)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
def test_bitsandbytes_4_bits(tmp_path: Path, kind: str, nested: bool) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(
        64, 128, generator=torch.Generator().manual_seed(0)
    )  # rows of whole blocks: others its CPU code misreads
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type=kind, compress_statistics=nested)
    tensors = {"x.weight": packed} | {f"x.weight.{name}": tensor for name, tensor in state.as_dict(packed=True).items()}
    said = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind}
    theirs = functional.dequantize_4bit(packed, state)
    made = read(tmp_path, said, tensors, (64, 128))
    assert torch.allclose(made, theirs, rtol=1e-6, atol=1e-8)
    assert (made - weight).abs().max() < 1


def test_bitsandbytes_8_bits(tmp_path: Path) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    codes, scales, _ = functional.int8_vectorwise_quant(WEIGHT.half())
    theirs = functional.int8_vectorwise_dequant(codes, scales)
    made = read(tmp_path, {"quant_method": "bitsandbytes", "load_in_8bit": True}, {"x.weight": codes, "x.SCB": scales})
    assert torch.allclose(made, theirs, rtol=1e-5)


def test_float8_of_transformers(tmp_path: Path) -> None:
    theirs = pytest.importorskip("transformers.integrations.finegrained_fp8")
    if not hasattr(theirs, "Fp8Dequantize") or not hasattr(theirs.Fp8Dequantize, "_dequantize_one"):
        pytest.skip("this transformers dequantizes float8 elsewhere")
    packed = (WEIGHT * 100).to(torch.float8_e4m3fn)
    scales = torch.rand(2, 3, generator=torch.Generator().manual_seed(1)) / 100
    wanted = theirs.Fp8Dequantize(None)._dequantize_one(packed, scales, torch.float32)
    said = {"quant_method": "fp8", "weight_block_size": [32, 32]}
    assert torch.equal(read(tmp_path, said, {"x.weight": packed, "x.weight_scale_inv": scales}), wanted)


def test_float8_of_compressed_tensors(tmp_path: Path) -> None:
    compressor = pytest.importorskip("compressed_tensors.compressors.naive_quantized").FloatQuantizationCompressor
    quantization = pytest.importorskip("compressed_tensors.quantization")
    for strategy, scales in (("tensor", torch.tensor([0.01])), ("channel", torch.rand(64, 1) / 100 + 0.01)):
        weights = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": strategy}
        args = quantization.QuantizationScheme(targets=["Linear"], weights=weights)
        made = compressor.compress({"weight": WEIGHT, "weight_scale": scales}, args)
        said = json.loads(json.dumps(scheme())) | {"format": "float-quantized", "config_groups": {"g": {"weights": weights}}}
        theirs = compressor.decompress(dict(made), args)["weight"]
        assert torch.equal(read(tmp_path, said, {f"x.{name}": tensor for name, tensor in made.items()}), theirs.float())
