"""Blockwise quantization and packing: what the operators' documentation promises, on random shapes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ir = pytest.importorskip("onnx_ir")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from exporters.quantize import packing  # noqa: E402
from exporters.quantize.round_to_nearest import round_to_nearest  # noqa: E402
from exporters.youtu.parameters import Parameter  # noqa: E402
from youtu_onnx.recipe import BLOCK_SIZES, Blockwise  # noqa: E402

storages = st.builds(Blockwise, bits=st.sampled_from([4, 8]), block_size=st.sampled_from(BLOCK_SIZES), symmetric=st.booleans())


def matrix(rows: int, columns: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * scale


@settings(max_examples=60, deadline=None)
@given(storages, st.integers(1, 5), st.integers(1, 300), st.integers(0, 9), st.sampled_from([1e-6, 1.0, 1e4]))
def test_error_is_at_most_one_step(storage, rows, columns, seed, scale):
    weight = matrix(rows, columns, seed, scale)
    quantized = round_to_nearest(weight, storage)
    error = (quantized.dequantize()[:, :columns] - weight).abs()
    steps = quantized.scales.abs().repeat_interleave(storage.block_size, 1)[:, :columns]
    # An asymmetric block's zero point is rounded too, and the symmetric range is a step shorter on one side.
    assert (error <= steps * 1.001).all()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_mean_error_is_a_quarter_step(bits, symmetric):
    weight = matrix(64, 256, 7)
    quantized = round_to_nearest(weight, Blockwise(bits, 32, symmetric))
    error = (quantized.dequantize() - weight).abs().mean()
    assert error == pytest.approx(quantized.scales.abs().mean().item() / 4, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(storages, st.integers(1, 300))
def test_zeros_stay_zeros_and_padding_is_zero(storage, columns):
    quantized = round_to_nearest(torch.zeros(2, columns), storage)
    assert not quantized.dequantize().any()
    weight = matrix(2, columns, 1)
    assert not round_to_nearest(weight, storage).dequantize()[:, columns:].any()


@pytest.mark.parametrize("bits", [4, 8])
def test_symmetric_maps_the_largest_magnitude_exactly(bits):
    weight = matrix(8, 64, 3)
    largest = weight.view(8, 2, 32).abs().argmax(-1)
    blocks = round_to_nearest(weight, Blockwise(bits, 32, True)).dequantize().view(8, 2, 32)
    expected = weight.view(8, 2, 32).gather(-1, largest.unsqueeze(-1))
    assert torch.allclose(blocks.gather(-1, largest.unsqueeze(-1)), expected, rtol=1e-6)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=41))
def test_nibbles_unpack_in_order(values):
    packed = packing.pack_nibbles(torch.tensor(values, dtype=torch.uint8)).numpy()
    unpacked = np.stack([packed & 15, packed >> 4], -1).ravel()[: len(values)]
    assert unpacked.tolist() == values


@settings(max_examples=20, deadline=None)
@given(storages, st.integers(1, 40), st.integers(1, 200))
def test_chunks_do_not_show(storage, rows, columns):
    """The streamer quantizes a few rows at a time; the bytes must not depend on how many."""
    weight = matrix(rows, columns, 5)
    made = packing.blockwise("w", Parameter(("w",), (rows, columns), lambda w: w, "matrix"), storage, ir.DataType.FLOAT,
                             zero_points=True)
    whole = made.pack(weight)
    before, packing.CHUNK = packing.CHUNK, columns * 3
    try:
        pieces = made.pack(weight)
    finally:
        packing.CHUNK = before
    for piece, one, other in zip(made.pieces, whole, pieces, strict=True):
        assert one.shape == piece.shape
        assert np.array_equal(one, other)


def test_absorbed_columns_use_the_whole_range():
    weight = torch.randn(3, 16, 24, generator=torch.Generator().manual_seed(0))
    made = packing.absorbed_int8("w", Parameter(("w",), (3, 16, 24), lambda w: w, "absorbed"))
    integers, scales = made.pack(weight)
    assert (np.abs(integers).max(1) == 127).all()
    assert np.abs(integers * scales - weight.numpy()).max() <= scales.max() / 2 * 1.001
