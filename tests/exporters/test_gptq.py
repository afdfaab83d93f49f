"""GPTQ beside its own definition, written out: after each column the best the open ones can do, by an inverse made anew."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from youtu_onnx.core.recipe import Blockwise  # noqa: E402
from youtu_onnx.exporters.quantize.gptq import Gptq  # noqa: E402
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, Quantizer, quantize  # noqa: E402
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest  # noqa: E402


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def moments_of(columns: int, *, rank: int, seed: int = 1) -> torch.Tensor:
    """Of inputs that lie near a space of few dimensions, some of them large: as a language model's do."""
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(500, rank, generator=random) @ torch.randn(rank, columns, generator=random)
    inputs += 0.1 * torch.randn(500, columns, generator=random)
    inputs *= 1 + 4 * torch.rand(columns, generator=random) ** 4
    return inputs.T @ inputs / len(inputs)


def weighed(sizes: torch.Tensor) -> InputStatistics:
    """Of independent inputs of these mean squares."""
    return InputStatistics(sizes)


def error(weight: torch.Tensor, made: torch.Tensor, moments: torch.Tensor) -> float:
    off = (weight - made[:, : weight.shape[1]]).double()
    return float(((off @ moments.double()) * off).sum())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_it_is_what_its_definition_says(bits: int, symmetric: bool) -> None:
    storage, weight, moments = Blockwise(bits, 16, symmetric), matrix(7, 48), moments_of(48, rank=10)
    made = quantize(Gptq(), weight, storage, inputs=InputStatistics.of(moments))
    damped = 0.9 * moments.double() + (0.1 * moments.diagonal() + 0.01 * moments.diagonal().mean()).double().diag()
    sizes = moments.diagonal().view(3, 16)
    numbers, left = weight.double().clone(), list(range(48))
    top = 2**bits - 1
    for block in sizes.mean(1).argsort(descending=True).tolist():
        columns = list(range(16 * block, 16 * block + 16))
        ranged = quantize(RoundToNearest(), numbers[:, columns].float(), storage, inputs=weighed(sizes[block]))
        scale = ranged.scales.double()
        zero = torch.full_like(scale, 2 ** (bits - 1)) if symmetric else ranged.zero_points.double()
        assert torch.allclose(made.scales[:, block : block + 1].double(), scale, rtol=1e-4)
        for column in (columns[index] for index in sizes[block].argsort(descending=True).tolist()):
            code = (torch.round(numbers[:, [column]] / scale) + zero).clamp(0, top)
            assert (made.codes[:, block, column - columns[0]].double() - code[:, 0]).abs().max() <= (0 if bits == 4 else 1)
            off = numbers[:, [column]] - (code - zero) * scale
            inverse, place = torch.linalg.inv(damped[left][:, left]), left.index(column)
            numbers[:, left] -= off / inverse[place, place] * inverse[place]
            left.remove(column)


def test_inputs_that_have_nothing_to_do_with_each_other_leave_nothing_to_make_up_for() -> None:
    weight, storage = matrix(9, 96), Blockwise(4, 32, False)
    moments = torch.diag(torch.rand(96, generator=torch.Generator().manual_seed(3)) + 0.1)
    made, nearest = (quantize(one, weight, storage, inputs=InputStatistics.of(moments)) for one in (Gptq(), RoundToNearest()))
    assert torch.equal(made.codes, nearest.codes) and torch.equal(made.zero_points, nearest.zero_points)
    assert torch.allclose(made.scales, nearest.scales, rtol=1e-6), "sums are taken in another order"


@pytest.mark.parametrize("size", [16, 64, 128])
def test_the_error_in_what_comes_out_is_a_fraction_of_roundings(size: int) -> None:
    weight, moments, storage = matrix(64, 256), moments_of(256, rank=40), Blockwise(4, size, False)
    made = quantize(Gptq(), weight, storage, inputs=InputStatistics.of(moments)).dequantize()
    nearest = quantize(RoundToNearest(), weight, storage).dequantize()
    assert error(weight, made, moments) < 0.35 * error(weight, nearest, moments)


def test_rows_do_not_know_of_each_other() -> None:
    weight, storage, inputs = matrix(10, 80), Blockwise(4, 32, False), InputStatistics.of(moments_of(80, rank=8))
    rows = Gptq().begin(weight, storage, torch.float16, inputs)
    whole, part = rows(0, 10), rows(3, 6)
    assert whole.scales.dtype == torch.float16
    assert torch.equal(whole.codes[3:6], part.codes) and torch.equal(whole.scales[3:6], part.scales)


def test_padding_and_inputs_that_are_never_there_stay_out_of_it() -> None:
    """70 columns in blocks of 32; two inputs are always 0, and what a weight for them is doesn't matter."""
    moments = moments_of(70, rank=12)
    moments[[4, 40]] = 0
    moments[:, [4, 40]] = 0
    weight, storage = matrix(6, 70), Blockwise(4, 32, False)
    made = quantize(Gptq(), weight, storage, inputs=InputStatistics.of(moments)).dequantize()
    assert made.shape == (6, 96) and not made[:, 70:].any() and torch.isfinite(made).all()
    nearest = quantize(RoundToNearest(), weight, storage).dequantize()
    assert error(weight, made, moments) < 0.5 * error(weight, nearest, moments)
    nothing = quantize(Gptq(), weight, storage, inputs=InputStatistics.of(torch.zeros(70, 70)))
    assert nothing.dequantize().sub(torch.nn.functional.pad(weight, (0, 26))).abs().max() < 0.5, "calibration saw nothing at all"


def drifting(columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs as they are and as they would be without the rounding of earlier matrices: both lie near the same space."""
    random = torch.Generator().manual_seed(5)
    space = torch.randn(columns // 4, columns, generator=random)
    inner = torch.randn(4000, columns // 4, generator=random)
    without = inner @ space + 0.1 * torch.randn(4000, columns, generator=random)
    return without + 0.1 * inner @ torch.randn(columns // 4, columns, generator=random), without


def statistics(inputs: torch.Tensor, without: torch.Tensor) -> InputStatistics:
    moments = inputs.T @ inputs / len(inputs)
    return InputStatistics(moments.diagonal(), moments, (without - inputs).T @ inputs / len(inputs))


def test_what_earlier_rounding_changed_is_made_up_for_in_part() -> None:
    """It is GPTQ of a matrix that gives, of the inputs as they are, more of what should come out."""
    weight, storage, (inputs, without) = matrix(20, 64), Blockwise(4, 16, False), drifting(64)
    known = statistics(inputs, without)
    moments, sizes = known.second_moments.double(), known.sizes.double()
    damped = 0.9 * moments + (0.1 * sizes + 0.01 * sizes.mean()).diag()
    towards = weight.double() @ known.drift.double() @ torch.linalg.inv(damped)
    wanted = quantize(Gptq(), (weight + 0.25 * towards).float(), storage, inputs=InputStatistics.of(known.second_moments))
    made = quantize(Gptq(), weight, storage, inputs=known)
    same = (made.codes == wanted.codes).flatten(1).all(1)
    assert same.float().mean() >= 0.8, "a number half-way between two codes changes what follows it in its row"
    assert torch.allclose(made.scales[same], wanted.scales[same], rtol=1e-3)
    assert quantize(Gptq(correction=0), weight, storage, inputs=known).codes.equal(
        quantize(Gptq(), weight, storage, inputs=InputStatistics.of(known.second_moments)).codes
    )


def test_what_comes_out_is_nearer_to_what_unrounded_matrices_gave() -> None:
    weight, storage, (inputs, without) = matrix(64, 128), Blockwise(4, 32, False), drifting(128)
    known, wanted = statistics(inputs, without), without @ weight.T
    off = {
        part: float((inputs @ quantize(Gptq(correction=part), weight, storage, inputs=known).dequantize().T - wanted).norm())
        for part in (0.0, 0.25, 1.0)
    }
    assert off[1.0] < 0.7 * off[0.0] and off[1.0] < off[0.25] < 0.9 * off[0.0]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block", [16, 64])
def test_it_agrees_with_llm_compressor(bits: int, block: int) -> None:
    """Which is given the ranges that were found, and inputs sorted by size, for it takes them as they come.

    ``pip install llmcompressor`` in an environment of its own: it wants other versions of much.
    """
    theirs = pytest.importorskip("llmcompressor.modifiers.gptq.gptq_quantize", reason="llmcompressor is not installed")
    from compressed_tensors.quantization import QuantizationArgs

    moments = moments_of(128, rank=40)
    by_size = moments.diagonal().argsort(descending=True)
    moments, weight, middle = moments[by_size][:, by_size], matrix(24, 128), 2 ** (bits - 1)
    made = quantize(Gptq(shrinkage=0), weight, Blockwise(bits, block, False), inputs=InputStatistics.of(moments))
    assert made.zero_points is not None
    arguments = QuantizationArgs(num_bits=bits, group_size=block, strategy="group", symmetric=False, type="int")
    zeros = (made.zero_points.float() - middle)[None]
    wanted, _, fell_back = theirs.quantize_weight(
        weight[None].clone(), moments[None].clone(), made.scales[None], zeros, None, arguments, blocksize=block
    )
    assert not fell_back.any()
    off = (made.dequantize() - wanted[0]).abs() / made.scales.repeat_interleave(block, 1)
    assert (off < 0.01).all(1).float().mean() > 0.9, "where a number is half-way between two codes, what follows it differs, too"


@pytest.mark.parametrize("moments", [torch.eye(5), torch.full((64, 64), torch.nan)])
def test_statistics_that_can_not_be_are_refused(moments: torch.Tensor) -> None:
    quantizer: Quantizer = Gptq()
    with pytest.raises(ValueError, match="second moments"):
        quantizer.begin(matrix(2, 64), Blockwise(4, 32, False), torch.float32, InputStatistics.of(moments))


def test_a_table_that_is_looked_up_is_rounded() -> None:
    weight, storage = matrix(5, 64), Blockwise(4, 32, False)
    assert torch.equal(quantize(Gptq(), weight, storage).codes, quantize(RoundToNearest(), weight, storage).codes)


@pytest.mark.parametrize("symmetric", [False, True])
def test_ranges_are_of_least_weighted_error_where_inputs_are_known(symmetric: bool) -> None:
    weight, sizes, storage = (
        matrix(200, 128),
        torch.rand(128, generator=torch.Generator().manual_seed(5)) ** 8,
        Blockwise(4, 64, symmetric),
    )
    weight[:, ::17] *= 6  # outliers, most of which hardly count
    sizes[::17] *= 0.01
    known, unknown = (quantize(RoundToNearest(), weight, storage, inputs=one).dequantize() for one in (weighed(sizes), None))
    assert error(weight, known, torch.diag(sizes)) < 0.6 * error(weight, unknown, torch.diag(sizes))
    alike = weighed(torch.ones(128))
    assert (quantize(RoundToNearest(), weight, storage, inputs=alike).dequantize() - weight).norm() <= (
        unknown - weight
    ).norm() * 1.0001
