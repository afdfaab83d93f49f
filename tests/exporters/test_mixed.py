"""``--bits-per-weight``: no more than asked for, and spent where it counts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.exported import reference  # noqa: E402
from tests.tiny_checkpoint import CONFIG, random_tensors, write_checkpoint  # noqa: E402
from youtu_onnx.cli import main  # noqa: E402
from youtu_onnx.core.bundle import Bundle  # noqa: E402
from youtu_onnx.core.progress import Silent  # noqa: E402
from youtu_onnx.core.recipe import Blockwise  # noqa: E402
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, quantize  # noqa: E402
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest  # noqa: E402
from youtu_onnx.exporters.sensitivity import MEASURED, Matrix, costs  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.inspect.inspection import inspect_bundle  # noqa: E402
from youtu_onnx.publish.exporting import export  # noqa: E402

EIGHT = Blockwise(8, 64, False)


def test_a_matrix_costs_what_rounding_it_does_to_predictions(tmp_path: Path) -> None:
    """Which transformers computes, the matrix rounded in its own module."""
    folder = write_checkpoint(tmp_path / "checkpoint", CONFIG, random_tensors(CONFIG))
    ids = list(range(5, 45))
    names = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(CONFIG["num_hidden_layers"])]
    matrices = [Matrix(name, (name,), (MEASURED, EIGHT)) for name in names]
    found = costs(Checkpoint.open(str(folder)), matrices, ids, Silent())
    assert found.keys() == set(names)
    assert all(0 <= cost[EIGHT] < 0.05 * cost[MEASURED] for cost in found.values())

    model = reference(CONFIG, random_tensors(CONFIG))
    sizes: dict[str, torch.Tensor] = {}

    def seen(name: str, _: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        sizes.setdefault(name, given[0][0].square().mean(0))

    for name in names:
        model.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(partial(seen, name))
    with torch.no_grad():
        wanted = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for name in names:
            weight = model.get_parameter(name).detach()
            made = quantize(RoundToNearest(), weight, MEASURED, inputs=InputStatistics(sizes[name]))
            weight.copy_(made.dequantize()[:, : weight.shape[1]])
        rounded = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    divergence = float((wanted.exp() * (wanted - rounded)).sum(-1).mean())
    assert sum(cost[MEASURED] for cost in found.values()) == pytest.approx(divergence, rel=0.02)


def test_no_more_bits_than_asked_for_and_hardly_fewer(tmp_path: Path) -> None:
    for bits in (5.2, 6.0):
        bundle = export("youtu-nano", tmp_path / str(bits), bits_per_weight=bits, verify=bits == 6.0).bundle
        assert bits - 0.3 < inspect_bundle(bundle.path).bits_per_weight <= bits
        recipe = bundle.manifest.recipe
        assert {one[1] for one in recipe.mixed} == {4, 8} and not recipe.int8
        assert Bundle.open(bundle.path).manifest.recipe == recipe


def test_exceptions_stay(tmp_path: Path) -> None:
    bundle = export("youtu-nano", tmp_path / "bundle", bits_per_weight=7.5, int8=("lm_head",), verify=False).bundle
    assert ("lm_head.weight", 8) in {one[:2] for one in bundle.manifest.recipe.mixed}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bits-per-weight", "3"), "less than this model takes"),
        (("--bits-per-weight", "0"), "can't be"),
        (("--bits-per-weight", "nan"), "can't be"),
        (("--bits-per-weight", "5", "-p", "int8"), "can't be"),
    ],
)
def test_what_can_not_be_is_refused_before_a_graph_is_traced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "bundle"), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "error: " in said and "trace" not in said
    assert not (tmp_path / "bundle").exists()
