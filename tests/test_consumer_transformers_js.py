"""transformers.js, unmodified, opens a bundle with its layout and gives what PyTorch and transformers say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.javascript.workshop import drive, workshop
from tests.test_vectors import TOKENIZER, TOLERANCES, VECTORS
from tests.vectors.make import MOST_TOKENS
from youtu_onnx import export
from youtu_onnx.bundle import Bundle, names
from youtu_onnx.errors import UsageError
from youtu_onnx.layouts import add_layout


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop(request.config, tmp_path_factory.mktemp("transformers-js"))


@pytest.fixture(scope="module")
def laid_out(nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``laid_out(precision, cache)`` → a copy of a bundle with the layout in it."""

    def made(precision: str, cache: str = "latent") -> Path:
        folder = tmp_path_factory.mktemp("laid-out") / precision
        shutil.copytree(nano_bundle(precision, cache), folder)
        manifest = add_layout("transformers.js", Bundle.open(folder).manifest, folder)
        (folder / names.MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        return folder

    return made


def pipeline(shop: Path, folder: Path, **job: Any) -> dict[str, Any]:
    asked = {"folder": str(folder), "texts": [], "chats": [], "prompts": [], "questions": [], "tokens": MOST_TOKENS}
    return drive(shop, "drive_pipeline.js", asked | job)


def test_tokens_texts_and_chats_in_float32(shop: Path, laid_out: Callable[..., Path]):
    texts = [*VECTORS["texts"], *VECTORS["literals"]]
    found = pipeline(shop, laid_out("fp32"), texts=[one["text"] for one in texts], chats=VECTORS["chats"],
                     questions=[one["text"] for one in VECTORS["greedy"]])
    for one, got in zip(texts, found["texts"], strict=True):
        assert got == {"ids": one["ids"], "text": one["text"]}
    for one, got in zip(VECTORS["chats"], found["chats"], strict=True):
        assert got == {"ids": one["ids"], "text": one["prompt"]}
    for one, got in zip(VECTORS["greedy"], found["answers"], strict=True):
        assert got == {"ids": one["tokens"], "text": TOKENIZER.decode(one["tokens"][:-1])}
    assert "num_logits_to_keep" in found["inputs"], "a prompt's logits would be computed for all its tokens"


@pytest.mark.parametrize(("precision", "cache"), [("fp32", "latent"), ("int4", "latent"), ("int4", "latent-int8")])
def test_logits(shop: Path, laid_out: Callable[..., Path], precision: str, cache: str):
    found = pipeline(shop, laid_out(precision, cache), prompts=[one["ids"] for one in VECTORS["greedy"]])
    furthest = np.abs(np.array(found["logits"]) - np.array(VECTORS["logits"])).max()
    assert furthest <= TOLERANCES[precision]
    assert precision == "fp32" or furthest > TOLERANCES[precision] / 20, "the tolerance says nothing"


def test_the_program_in_the_folder_answers(shop: Path, laid_out: Callable[..., Path]):
    done = subprocess.run(["node", "transformers_js/ask.js", str(laid_out("fp32")), VECTORS["greedy"][0]["text"]], cwd=shop,
                          capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.stdout.strip() == TOKENIZER.decode(VECTORS["greedy"][0]["tokens"][:-1]).strip(), done.stderr


def test_export_lays_out_and_stays_a_bundle(tmp_path: Path):
    made = export("youtu-nano", tmp_path / "both", precision="int4", layout="transformers.js", verify=False).bundle
    again = Bundle.open(made.path, hash_limit=None)
    assert {"onnx/model_q4.onnx", "onnx/model_q4.onnx_data"} <= again.manifest.files.keys()
    files = {str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file()} - {names.MANIFEST}
    assert files == set(again.manifest.files)
    assert made.file("onnx/model_q4.onnx_data").samefile(made.file(names.MODEL_DATA)), "the weights are there twice"


def test_an_unknown_layout_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown layout 'keras'"):
        export("youtu-nano", tmp_path / "never", layout="keras")
    assert not (tmp_path / "never").exists()
