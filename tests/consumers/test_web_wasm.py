"""The table of WebAssembly's kernels against onnxruntime-web in Node, operator by operator, and what its sessions compute of the
CPU's graphs. Browsers run the same file; ``test_browser.py`` is about them."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.consumers.javascript.workshop import drive, workshop
from tests.consumers.reasoning import Reasoner
from tests.consumers.test_vectors import TOLERANCES, VECTORS
from tests.one_node import offers, untried
from youtu_onnx import export
from youtu_onnx.conformance import WEB_WASM
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.exporters.layouts import add_layout, browser
from youtu_onnx.families.youtu.cache import EXPANDS_FROM
from youtu_onnx.inspect.inspection import inspect_bundle
from youtu_onnx.runtimes.ort.model import OrtModel

COMPUTED = [
    ("int4", "latent"),
    ("int4", "latent-fp16"),
    ("int4", "latent-int8"),
    ("int4", "expanded"),
    ("int8", "latent"),
    ("fp16", "latent"),
    ("fp32", "latent"),
]
UNPACKED = ("int4", "latent")
STEPS = [VECTORS["greedy"][0]["ids"], [5], list(range(2, 2 + EXPANDS_FROM))]
"""A prompt, one token more, and a step that is long enough for the other order of attention."""


@pytest.fixture(scope="module")
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nano_bundle: Callable[..., Path]
) -> dict[str, Any]:
    shop = workshop(request.config, tmp_path_factory.mktemp("wasm"))
    bundles = [Bundle.open(nano_bundle(*form)) for form in COMPUTED]
    jobs = [{"folder": str(one.path), "cache": one.manifest.cache.to_dict(), "steps": STEPS} for one in bundles]
    copy = Path(shutil.copytree(bundles[COMPUTED.index(UNPACKED)].path, shop / "unpacked"))
    add_layout("browser", Bundle.open(copy).manifest, copy)
    jobs.append(jobs[COMPUTED.index(UNPACKED)] | {"folder": str(copy), "graph": browser.GRAPH})
    return drive(
        shop,
        "drive_wasm.js",
        {
            "offers": [base64.b64encode(offer.model).decode() for offer in offers()],
            "bundles": jobs,
        },
    )


def test_every_operator_version_and_type(found: dict[str, Any]) -> None:
    wrong = [
        f"{offer}: onnxruntime-web {'takes' if opened else 'refuses'} it"
        for offer, opened in zip(offers(), found["opened"], strict=True)
        if opened != offer.listed(WEB_WASM)
    ]
    assert not wrong, "\n".join([f"{WEB_WASM.release}; installed is {found['version']}", *wrong])


def test_nothing_in_the_table_is_left_untried() -> None:
    assert not untried(WEB_WASM)


@pytest.mark.parametrize(("precision", "cache"), COMPUTED)
def test_the_table_takes_every_graph_for_the_cpu(nano_bundle: Callable[..., Path], precision: str, cache: str) -> None:
    placed = inspect_bundle(nano_bundle(precision, cache)).conformance("web-wasm")
    assert placed is not None and placed.placements and not placed.faults, placed.summary()


def test_the_table_takes_a_graph_that_rows_leave(reasoner: Reasoner) -> None:
    placed = inspect_bundle(reasoner.bundle()).conformance("web-wasm")
    assert placed is not None and not placed.faults, placed.summary()


@pytest.mark.parametrize("index", range(len(COMPUTED)), ids=["-".join(form) for form in COMPUTED])
def test_it_computes_what_the_cpu_provider_does(found: dict[str, Any], nano_bundle: Callable[..., Path], index: int) -> None:
    """Within what different kernels for one product make of it: both round activations to bytes, in blocks of their own."""
    precision, cache = COMPUTED[index]
    model, past, before = OrtModel(Bundle.open(nano_bundle(precision, cache)), threads=1, find=lambda _: None), None, 0
    for ids, made in zip(STEPS, found["logits"][index], strict=True):
        before += len(ids)
        positions = np.arange(before - len(ids), before)[None]
        logits, past = model.run(np.array([ids]), np.ones((1, before), np.int64), positions, past)
        got = np.frombuffer(base64.b64decode(made), np.float16 if precision == "fp16" else np.float32).reshape(logits.shape)
        assert np.abs(got.astype(np.float32) - logits).max() <= TOLERANCES[precision]
        assert (got.argmax(-1) == logits.argmax(-1)).mean() > 0.8


def test_weights_that_are_unpacked_once_are_those_that_are_unpacked_at_each_step(found: dict[str, Any]) -> None:
    """The browser's own graph has float products where the bundle's has MatMulNBits: WebAssembly makes both of them in floats,
    whose sums differ by their order. Where one falls beside a boundary of the bytes that W_UK's products take, logits differ by
    a step."""
    once, each = (
        [np.frombuffer(base64.b64decode(made), np.float32) for made in found["logits"][index]]
        for index in (-1, COMPUTED.index(UNPACKED))
    )
    apart = [float(np.abs(ours - theirs).max()) for ours, theirs in zip(once, each, strict=True)]
    assert min(apart) < 1e-4 and max(apart) < 0.02, apart


def test_a_graph_for_a_browser_is_refused_for_other_devices_and_for_more_than_it_holds(
    reasoner: Reasoner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="WebAssembly, which is a CPU, and the target is webgpu"):
        export(str(reasoner.checkpoint), tmp_path / "never", layout="browser", target="webgpu")
    monkeypatch.setattr(browser, "MOST", 10_000)
    with pytest.raises(UsageError, match="which a browser would hold"):
        export(str(reasoner.checkpoint), tmp_path / "never", layout="browser")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_the_browser_s_graph_has_the_same_weights(reasoner: Reasoner, tmp_path: Path, precision: str, symmetric: bool) -> None:
    """On the CPU provider, whose MatMulNBits is told to multiply floats, too."""
    ort, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    checkpoint, how = str(reasoner.checkpoint), {"layout": "browser", "block_size": 32, "verify": False}
    made = export(checkpoint, tmp_path / "bundle", precision=precision, symmetric=symmetric, **how).bundle
    logits = []
    for name in (names.MODEL, browser.GRAPH):
        model = onnx.load(made.file(name), load_external_data=False)
        kinds = [node.op_type for node in model.graph.node]
        assert (kinds.count("DequantizeLinear"), kinds.count("MatMulNBits")) == ((0, 13) if name == names.MODEL else (13, 0))
        for attribute in (one for node in model.graph.node for one in node.attribute if one.name == "accuracy_level"):
            attribute.i = 1
        options = ort.SessionOptions()
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(made.path))
        session = ort.InferenceSession(model.SerializeToString(), options)
        feeds = {one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32) for one in session.get_inputs()[3:]}
        ids = np.array([STEPS[0]])
        feeds |= {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(ids.shape[1])[None]}
        logits.append(session.run(["logits"], feeds)[0])
    assert np.abs(logits[1] - logits[0]).max() < 1e-3
