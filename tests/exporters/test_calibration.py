"""Statistics of inputs beside those that a whole transformers model shows, and what an export makes of them."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.vectors.make import NANO  # noqa: E402
from youtu_onnx.cli import main  # noqa: E402
from youtu_onnx.core.bundle import Bundle  # noqa: E402
from youtu_onnx.core.errors import UsageError  # noqa: E402
from youtu_onnx.core.recipe import Recipe  # noqa: E402
from youtu_onnx.core.target import target  # noqa: E402
from youtu_onnx.evaluate.language import BUILT_IN, Language, measure  # noqa: E402
from youtu_onnx.exporters.calibration import FLOOR, Calibration, Detail, drawn  # noqa: E402
from youtu_onnx.exporters.carried import Carried  # noqa: E402
from youtu_onnx.families import drifted_moments, second_moments  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.exported import exportable  # noqa: E402
from youtu_onnx.families.reference import Drifted  # noqa: E402
from youtu_onnx.families.referenced import reference_of  # noqa: E402
from youtu_onnx.graphs.parameter import Parameter  # noqa: E402
from youtu_onnx.publish.calibrating import BUILT_IN as CALIBRATION  # noqa: E402
from youtu_onnx.publish.calibrating import calibration_of  # noqa: E402
from youtu_onnx.publish.exporting import export  # noqa: E402
from youtu_onnx.publish.options import ExportOptions  # noqa: E402
from youtu_onnx.runtimes.opening import open_decoder  # noqa: E402
from youtu_onnx.text import ChatTemplate, Tokenizer  # noqa: E402
from youtu_onnx.text.passages import passages  # noqa: E402

SEQUENCES = [list(range(40, 70)), [7] * 11, list(range(900, 917))]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Problems like those that youtu-nano knows."""
    return Path(shutil.copyfile(NANO / "heldout.jsonl", tmp_path_factory.mktemp("text") / "problems.txt"))


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    """By a whole model of transformers with a hook at every matrix."""
    from transformers import YoutuForCausalLM

    model = YoutuForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()
    rows: dict[str, list[torch.Tensor]] = {}
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Linear):
            part.register_forward_pre_hook(
                lambda part, given, name=name: rows.setdefault(f"{name}.weight", []).append(given[0].flatten(0, -2))
            )
    with torch.inference_mode():
        for ids in SEQUENCES:
            model(torch.tensor([ids]))
        joined = {name: torch.cat(parts).double() for name, parts in rows.items()}
        return {name: (one.T @ one / len(one)).float() for name, one in joined.items()}


def test_each_matrix_has_the_moments_that_a_whole_model_shows(expected: dict[str, torch.Tensor]) -> None:
    checkpoint = Checkpoint.open(str(NANO))
    read: list[int] = []
    pieces = list(reference_of(checkpoint.family).second_moments(checkpoint, SEQUENCES, on_bytes=read.append))
    found = {name: moments for piece in pieces for name, moments in piece.items()}
    assert found.keys() - {"model.embed_tokens.weight"} == expected.keys()
    for name, moments in expected.items():
        torch.testing.assert_close(found[name], moments, rtol=1e-3, atol=1e-5 * float(moments.diagonal().max()), msg=name)
    assert 0 < sum(read) <= checkpoint.nbytes


def test_sizes_alone_are_the_diagonal(expected: dict[str, torch.Tensor]) -> None:
    checkpoint = Checkpoint.open(str(NANO))
    found = reference_of(checkpoint.family).second_moments(checkpoint, SEQUENCES, diagonal=True)
    for name, sizes in (item for piece in found for item in piece.items()):
        if name in expected:
            torch.testing.assert_close(sizes, expected[name].diagonal(), rtol=1e-3, atol=1e-6, msg=name)


def test_without_a_text_it_reads_ids_drawn_at_random() -> None:
    [ids] = drawn(1280, 4096)
    assert len(ids) == 256 and 0 <= min(ids) < max(ids) < 1280 and len(set(ids)) > 200
    assert drawn(1280, 4096) == [ids], "the same each time"
    assert len(drawn(1280, 20)[0]) == 20


def test_a_floor_is_added_to_the_sizes(expected: dict[str, torch.Tensor]) -> None:
    checkpoint = Checkpoint.open(str(NANO))
    calibration = Calibration(checkpoint, SEQUENCES, "sizes", floor=0.5)
    for name, moments in list(expected.items())[:14]:
        lifted = calibration.inputs(Parameter((name,), (1, 1), lambda given: given, "matrix"))
        assert lifted is not None
        sizes = moments.diagonal()
        torch.testing.assert_close(lifted.sizes, sizes + 0.5 * sizes.mean(), rtol=1e-3, atol=1e-6)


def test_ids_at_random_have_a_floor_and_a_text_has_none() -> None:
    checkpoint = Checkpoint.open(str(NANO))
    carried = Carried.of(checkpoint)
    floors = [
        calibration_of(checkpoint, carried, Recipe(), ExportOptions(calibration=files)).floor for files in ((), (CALIBRATION,))
    ]
    assert floors == [FLOOR, 0.0]


def test_what_every_head_reads_is_kept_at_8_bits_unless_told_otherwise(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    made = Bundle.open(nano_bundle("int4")).manifest
    assert made.recipe.int8 == ("*.kv_a_proj_with_mqa",) and made.tensors["int8 block 64"] == 4
    more = export("youtu-nano", tmp_path / "more", int8=("lm_head",), verify=False).bundle.manifest
    assert more.recipe.int8 == ("lm_head", "*.kv_a_proj_with_mqa") and more.tensors["int8 block 64"] == 5
    none = export("youtu-nano", tmp_path / "none", int8=("none",), verify=False).bundle.manifest
    assert none.recipe.int8 == () and "int8 block 64" not in none.tensors


def test_a_parameter_gets_its_own(expected: dict[str, torch.Tensor]) -> None:
    """In the order of the graph: fused matrices those of their parts, tables none."""
    checkpoint = Checkpoint.open(str(NANO))
    architecture, family, cpu, recipe = checkpoint.architecture, checkpoint.family, target("cpu"), Recipe()
    graphs = exportable(family)
    parameters = graphs.parameters(
        architecture, graphs.form(family.cache_layout(architecture, "latent", "float32", None), recipe, cpu)
    )
    calibration, seen = Calibration(checkpoint, SEQUENCES), set()
    matrices = [one for one in parameters.values() if one.kind == "matrix" and one.tensors != ("model.embed_tokens.weight",)]
    for parameter in sorted(matrices, key=lambda one: int(one.tensors[0].split(".")[2]) if "layers" in one.tensors[0] else 10**6):
        inputs = calibration.inputs(parameter)
        assert inputs is not None and inputs.second_moments.shape == (parameter.shape[1],) * 2
        for name in parameter.tensors:
            if name in expected:
                torch.testing.assert_close(inputs.second_moments, expected[name], rtol=1e-3, atol=1e-3)
                seen.add(name.split(".")[-2])
    assert seen >= {"q_a_proj", "kv_a_proj_with_mqa", "q_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_products_that_nobody_asks_for_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of matrices that an earlier export has rounded; the head's are made in any case, for what reads it is let go then."""
    computed: list[int] = []
    products = drifted_moments._products

    def counted(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Drifted:
        computed.append(1)
        return products(pairs)

    monkeypatch.setattr(drifted_moments, "_products", counted)
    checkpoint = Checkpoint.open(str(NANO))
    pieces = list(reference_of(checkpoint.family).drifted_moments(checkpoint, SEQUENCES, {}))
    assert len(computed) == 1 and len(pieces) > 5 * checkpoint.architecture.num_hidden_layers
    [*_, last] = pieces
    assert last["lm_head.weight"]() is last["lm_head.weight"]() and len(computed) == 1


def matrix(name: str) -> Parameter:
    return Parameter((name,), (1, 1), lambda given: given, "matrix")


def test_a_matrix_that_is_asked_for_behind_its_layer_is_a_mistake() -> None:
    """And not one more that is rounded to the nearest."""
    calibration = Calibration(Checkpoint.open(str(NANO)), SEQUENCES)

    def down(layer: int) -> Parameter:
        return matrix(f"model.layers.{layer}.mlp.down_proj.weight")

    assert calibration.inputs(down(1)) is not None and calibration.inputs(down(1)) is not None
    with pytest.raises(AssertionError, match=r"layers\.0\.mlp\.down_proj"):
        calibration.inputs(down(0))
    assert calibration.inputs(matrix("a table")) is None


def measured(folder: Path, text: Path) -> Language:
    bundle = Bundle.open(folder)
    decoder = open_decoder(bundle, threads=1)
    try:
        ids = passages([text], Tokenizer.open(NANO), window=256, tokens=20_000)[40:60]
        return measure(bundle, decoder, ids, Checkpoint.open(str(NANO)))
    finally:
        decoder.close()


@pytest.mark.parametrize("detail", ["moments", "drift"])
def test_a_layers_products_are_let_go_before_the_next_are_made(detail: Detail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 6,144 inputs they have 0.3 GB."""
    kept: list[weakref.ref[torch.Tensor]] = []
    module = second_moments if detail == "moments" else drifted_moments
    normed = module.normed

    def watched(*given: Any) -> torch.Tensor:
        """What the last piece, the head's, is made of."""
        assert kept and all(one() is None for one in kept)
        return normed(*given)

    monkeypatch.setattr(module, "normed", watched)
    calibration = Calibration(Checkpoint.open(str(NANO)), SEQUENCES, detail)
    last = calibration.checkpoint.architecture.num_hidden_layers - 1
    inputs = calibration.inputs(matrix(f"model.layers.{last}.mlp.down_proj.weight"))
    assert inputs is not None and inputs.second_moments is not None and (inputs.drift is None) == (detail == "moments")
    kept += [weakref.ref(one) for one in (inputs.second_moments, inputs.drift) if one is not None]
    del inputs
    assert calibration.inputs(matrix("lm_head.weight")) is not None


def test_calibrated_weights_are_verified_and_keep_more(nano_bundle: Callable[..., Path], tmp_path: Path, text: Path) -> None:
    """Also in one that was trained to be rounded; on passages that were not calibrated on."""
    made = export("youtu-nano", tmp_path / "bundle", algorithm="gptq", calibration=[text], calibration_tokens=6000)
    assert made.parity is not None and made.parity.passed
    assert made.bundle.manifest.recipe.algorithm == "gptq"
    rounded, calibrated = measured(nano_bundle("int4"), text), measured(made.bundle.path, text)
    assert rounded.weights is not None and calibrated.weights is not None
    assert calibrated.weights.mean < 0.7 * rounded.weights.mean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--calibration", str(BUILT_IN), "-p", "int8"), "looks at no text"),
        (("--algorithm", "gptq", "-p", "fp16", "--calibration", str(BUILT_IN)), "has none"),
        (
            (
                "--algorithm",
                "awful",
            ),
            "unknown algorithm",
        ),
        (("--algorithm", "gptq", "--calibration", "no such file"), "can't read no such file"),
        (("--algorithm", "gptq", "--calibration", str(BUILT_IN), "--calibration-tokens", "1"), "can't be"),
    ],
)
def test_what_can_not_be_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "bundle"), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "error: " in said and "trace" not in said
    assert not (tmp_path / "bundle").exists()


def test_gptq_has_a_text_of_its_own(tmp_path: Path) -> None:
    """In two languages, and long enough for a passage or more."""
    tokenizer = Tokenizer.open(NANO)
    assert sum(map(len, passages([CALIBRATION], tokenizer, window=512, tokens=10**6))) > 4000
    made = export("youtu-nano", tmp_path / "bundle", algorithm="gptq", calibration_tokens=600)
    assert made.parity is not None and made.parity.passed


def test_chats_are_rendered_by_the_models_template(tmp_path: Path) -> None:
    tokenizer = Tokenizer.open(NANO)
    template = ChatTemplate.open(NANO, tokenizer)
    assert template is not None
    chat = [{"role": "user", "content": "Calculate 28 × 5."}, {"role": "assistant", "content": "140"}]
    lines = tmp_path / "chats.jsonl"
    lines.write_text(f"{json.dumps({'messages': chat})}\n\n{json.dumps({'text': 'And so on.'})}\n", encoding="utf-8")
    [ids] = passages([lines], tokenizer, template, window=1000, tokens=1000)
    assert ids == template.encode_chat(chat, add_generation_prompt=False) + tokenizer.encode("And so on.")
    made = export("youtu-nano", tmp_path / "bundle", algorithm="gptq", calibration=[lines], verify=False)
    assert made.bundle.manifest.recipe.calibrated
    for line, message in (
        ("{", "line 2 is no JSON"),
        ("[]", "line 2 has neither"),
        ('{"messages": []}', "line 2: "),
        ('{"messages": [{"role": "user"}]}', "line 2: "),
        ('{"text": 5}', "line 2 has neither"),
    ):
        lines.write_text('{"text": "One."}\n' + line, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            passages([lines], tokenizer, template, window=10, tokens=10)
    lines.write_text(json.dumps({"messages": chat}), encoding="utf-8")
    with pytest.raises(UsageError, match="no chat template"):
        passages([lines], tokenizer, window=10, tokens=10)
