"""transformers.js, unmodified, opens a bundle with its layout and gives what PyTorch and transformers say."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from tests.consumers.javascript.pages import NO_GPU, chromium, served
from tests.consumers.javascript.workshop import drive, workshop
from tests.consumers.reasoning import MOST, TOLERANCE, Reasoner
from tests.consumers.test_vectors import TOKENIZER, TOLERANCES, VECTORS
from tests.vectors.make import MOST_TOKENS
from youtu_onnx import export
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.exporters.layouts import add_layout
from youtu_onnx.exporters.layouts.plain_embedding import plain_embedding


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop(request.config, tmp_path_factory.mktemp("transformers-js"))


@pytest.fixture(scope="module")
def laid_out(nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``laid_out(precision, cache)`` → a copy of a bundle with the layout in it.

    It is made of what an older checkpoint would leave: another model_type, and the template in a file of its own alone.
    """

    def made(precision: str, cache: str = "latent") -> Path:
        folder = tmp_path_factory.mktemp("laid-out") / precision
        shutil.copytree(nano_bundle(precision, cache), folder)
        manifest = Bundle.open(folder).manifest
        config, tokenizer = (json.loads((folder / name).read_text("utf-8")) for name in (names.CONFIG, names.TOKENIZER_CONFIG))
        del tokenizer["chat_template"]
        (folder / names.CONFIG).write_text(json.dumps(config | {"model_type": "youtu_llm"}), encoding="utf-8")
        (folder / names.TOKENIZER_CONFIG).write_text(json.dumps(tokenizer), encoding="utf-8")
        manifest = add_layout("transformers.js", manifest, folder)
        (folder / names.MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        return folder

    return made


def pipeline(shop: Path, folder: Path, **job: Any) -> dict[str, Any]:
    asked = {"folder": str(folder), "texts": [], "chats": [], "prompts": [], "questions": [], "tokens": MOST_TOKENS}
    return drive(shop, "drive_pipeline.js", asked | job)


def test_tokens_texts_and_chats_in_float32(shop: Path, laid_out: Callable[..., Path]):
    texts = [*VECTORS["texts"], *VECTORS["literals"]]
    found = pipeline(
        shop,
        laid_out("fp32"),
        texts=[one["text"] for one in texts],
        chats=VECTORS["chats"],
        questions=[one["text"] for one in VECTORS["greedy"]],
    )
    for one, got in zip(texts, found["texts"], strict=True):
        assert got == {"ids": one["ids"], "text": one["text"]}
    for one, got in zip(VECTORS["chats"], found["chats"], strict=True):
        assert got == {"ids": one["ids"], "text": one["prompt"]}
    for one, got in zip(VECTORS["greedy"], found["answers"], strict=True):
        assert got == {"ids": one["tokens"], "text": TOKENIZER.decode(one["tokens"][:-1])}
    assert "num_logits_to_keep" in found["inputs"], "a prompt's logits would be computed for all its tokens"


@pytest.mark.parametrize(
    ("precision", "cache"), [("fp32", "latent"), ("int4", "latent"), ("int4", "latent-fp16"), ("int4", "latent-int8")]
)
def test_logits(shop: Path, laid_out: Callable[..., Path], precision: str, cache: str):
    found = pipeline(shop, laid_out(precision, cache), prompts=[one["ids"] for one in VECTORS["greedy"]])
    furthest = np.abs(np.array(found["logits"]) - np.array(VECTORS["logits"])).max()
    assert furthest <= TOLERANCES[precision]
    assert precision == "fp32" or furthest > TOLERANCES[precision] / 20, "the tolerance says nothing"


def test_microreason_in_its_masked_form(shop: Path, reasoner: Reasoner):
    texts = ["What is 12 + 30?", "第一步是什么？"]
    prompts = [reasoner.prompt(text) for text in texts]
    found = pipeline(shop, reasoner.bundle("masked"), prompts=prompts, questions=texts, tokens=MOST)
    assert [one["ids"] for one in found["answers"]] == [reasoner.answer(ids) for ids in prompts]
    for ids, row in zip(prompts, found["logits"], strict=True):
        assert np.abs(np.array(row) - reasoner.logits(ids)).max() < TOLERANCE


def test_the_program_in_the_folder_answers(shop: Path, laid_out: Callable[..., Path]):
    done = subprocess.run(
        ["node", "transformers_js/ask.js", str(laid_out("fp32")), VECTORS["greedy"][0]["text"]],
        cwd=shop,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.stdout.strip() == TOKENIZER.decode(VECTORS["greedy"][0]["tokens"][:-1]).strip(), done.stderr


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_in_a_browser(shop: Path, laid_out: Callable[..., Path], tmp_path: Path, precision: str):
    """In WebAssembly, in the build that the library chooses, which lacks a kernel that other builds have."""
    program, one = chromium(), VECTORS["greedy"][0]
    (shop / precision).symlink_to(laid_out(precision), target_is_directory=True)
    # The library's own onnxruntime-web lies inside it, unless npm put it beside it.
    own = shop / "node_modules" / "@huggingface" / "transformers" / "node_modules" / "onnxruntime-web" / "dist"
    libraries = own if own.is_dir() else shop / "node_modules" / "onnxruntime-web" / "dist"
    with served(shop) as address:
        query = urlencode(
            {
                "folder": precision,
                "question": one["text"],
                "tokens": MOST_TOKENS,
                "libraries": f"/{libraries.relative_to(shop).as_posix()}/",
            }
        )
        found = drive(
            shop,
            "drive_pipeline_page.js",
            {"chromium": program, "flags": NO_GPU, "profile": str(tmp_path), "url": f"{address}pipeline.html?{query}"},
        )
    assert found == {"answer": TOKENIZER.decode(one["tokens"][:-1]), "hosts": [address.split("/")[2]]}


def test_export_lays_out_and_stays_a_bundle(tmp_path: Path):
    made = export("youtu-nano", tmp_path / "both", precision="int4", layout="transformers.js", verify=False).bundle
    again = Bundle.open(made.path, hash_limit=None)
    assert {"onnx/model_q4.onnx", "onnx/model_q4.onnx_data"} <= again.manifest.files.keys()
    files = {str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file()} - {names.MANIFEST}
    assert files == set(again.manifest.files)
    assert made.file("onnx/model_q4.onnx_data").samefile(made.file(names.MODEL_DATA)), "the weights are there twice"
    on_disk = {path.stat().st_ino: path.stat().st_size for path in made.path.rglob("*") if path.is_file()}
    assert made.size == sum(on_disk.values()) - made.file(names.MANIFEST).stat().st_size


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("with_zero_points", [True, False])
def test_the_plain_embedding_is_the_same(bits: int, groups: int, with_zero_points: bool):
    """Against ONNX Runtime's own operator; an odd number of blocks leaves half a byte of zero points over."""
    ir, ort = pytest.importorskip("onnx_ir"), pytest.importorskip("onnxruntime")
    random, rows, block = np.random.default_rng(bits + groups), 7, 16
    weights = {
        "data": random.integers(0, 256, (rows, groups * block * bits // 8), np.uint8),
        "scales": random.normal(size=(rows, groups)).astype(np.float32),
    }
    if with_zero_points:
        weights["zero_points"] = random.integers(0, 256, (rows, -(-groups * bits // 8)), np.uint8)

    def run(plain: bool) -> np.ndarray:
        ids = ir.Value(name="ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["b", "s"]))
        values = [ir.Value(name=name, const_value=ir.tensor(array)) for name, array in weights.items()]
        for value in values:
            value.shape, value.type = value.const_value.shape, ir.TensorType(value.const_value.dtype)
        attributes = {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
        node = ir.Node(
            "com.microsoft",
            "GatherBlockQuantized",
            [values[0], ids, *values[1:]],
            [ir.Attr(name, ir.AttributeType.INT, number) for name, number in attributes.items()],
            name="embedding",
        )
        node.outputs[0].name, node.outputs[0].type = "rows", ir.TensorType(ir.DataType.FLOAT)
        graph = ir.Graph(
            [ids], [node.outputs[0]], nodes=[node], initializers=values, name="one", opset_imports={"": 23, "com.microsoft": 1}
        )
        if plain:
            plain_embedding(graph)
            assert all(node.domain == "" for node in graph)
        model = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
        return ort.InferenceSession(model).run(["rows"], {"ids": np.array([[0, 6, 3], [3, 1, 5]])})[0]

    assert np.ptp(run(False)) > 0
    np.testing.assert_array_equal(run(True), run(False))


def test_an_unknown_layout_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown layout 'keras'"):
        export("youtu-nano", tmp_path / "never", layout="keras")
    with pytest.raises(UsageError, match="target dml reserves rows"):
        export("youtu-nano", tmp_path / "never", layout="transformers.js", target="dml")
    assert not (tmp_path / "never").exists()
