"""AWQ's factors: what they are good for, and that they are those of its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tiny_checkpoint import CONFIG, random_tensors, write_checkpoint  # noqa: E402
from youtu_onnx.cli import main  # noqa: E402
from youtu_onnx.core.recipe import Blockwise  # noqa: E402
from youtu_onnx.exporters.quantize.awq import EXPONENTS, Awq  # noqa: E402
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, quantize  # noqa: E402
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.referenced import reference_of  # noqa: E402

STORAGE = Blockwise(4, 32, False)


def of_some_large_channels(columns: int, large: int, times: float) -> torch.Tensor:
    """Second moments of inputs of which every so-manieth channel is larger, as a language model's norms make them."""
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(2000, columns, generator=random)
    inputs[:, ::large] *= times
    return inputs.T @ inputs / len(inputs)


def error(weight: torch.Tensor, factors: torch.Tensor, moments: torch.Tensor, storage: Blockwise = STORAGE) -> float:
    """In what comes out, where columns are rounded with these factors."""
    inputs = InputStatistics(moments.diagonal() / factors**2)
    made = quantize(RoundToNearest(), weight * factors, storage, inputs=inputs).dequantize()[:, : weight.shape[1]] / factors
    off = (made - weight).double()
    return float(((off @ moments.double()) * off).sum())


@pytest.mark.parametrize(("times", "left"), [(6.0, 0.85), (15.0, 0.7)])
def test_large_channels_lose_less_than_by_rounding_to_the_nearest(times: float, left: float) -> None:
    """Beside ranges that are weighed by sizes already, which is what rounding does alone."""
    weight, moments = torch.randn(200, 128, generator=torch.Generator().manual_seed(0)), of_some_large_channels(128, 31, times)
    factors = Awq({"w": STORAGE})({"w": weight}, moments)
    assert error(weight, factors, moments) < left * error(weight, torch.ones(128), moments)
    assert factors[::31].min() > 1.5 * factors.median()


def test_the_exponent_is_the_best_of_those_that_are_tried() -> None:
    """Of all matrices that read the input together."""
    random = torch.Generator().manual_seed(3)
    one, other = torch.randn(100, 64, generator=random), 0.2 * torch.randn(60, 64, generator=random)
    moments = of_some_large_channels(64, 7, 6)
    found = Awq({"one": STORAGE, "other": STORAGE})({"one": one, "other": other}, moments)
    errors = {}
    for exponent in EXPONENTS:
        tried = moments.diagonal().sqrt() ** exponent
        tried = tried / (tried.max() * tried.min()).sqrt()
        errors[exponent] = (error(one, tried, moments) + error(other, tried, moments), tried)
    torch.testing.assert_close(found, min(errors.values(), key=lambda pair: pair[0])[1])


def test_what_stays_float_or_is_never_read_has_no_factor() -> None:
    moments = of_some_large_channels(64, 7, 6)
    weight = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))
    assert (Awq({})({"w": weight}, moments) == 1).all()
    moments[5], moments[:, 5] = 0, 0
    found = Awq({"w": STORAGE})({"w": weight}, moments)
    assert found[5] == 1 and torch.isfinite(found).all() and (found > 0).all()
    assert (Awq({"w": STORAGE})({"w": weight}, torch.zeros(64, 64)) == 1).all()


def test_transformers_predicts_the_same_with_the_factors(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    tensors["model.embed_tokens.weight"][:, (3, 17)] *= 30
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "one", CONFIG, tensors))
    reference, ids = reference_of(checkpoint.family), [list(range(5, 60))]
    storages = dict.fromkeys((name for name, info in checkpoint.tensors.items() if len(info.shape) == 2), STORAGE)
    scaled = reference.rescaled(checkpoint, ids, Awq(storages))
    norms = [name for name in checkpoint.tensors if name.endswith("input_layernorm.weight")]
    assert any(not scaled.tensor(name).equal(checkpoint.tensor(name).float()) for name in norms)
    [wanted], [found] = reference.logits(checkpoint, ids), reference.logits(checkpoint, ids, weights=scaled)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--algorithm", "awq", "-p", "int8"), "awq scales channels for 4 bits"),
        (("--algorithm", "gptq+awq", "--adapter", "nowhere", "--adapter-mode", "hot"), "trained for unscaled ones"),
    ],
)
def test_what_can_not_be_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "bundle"), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "trace" not in said and not (tmp_path / "bundle").exists()
