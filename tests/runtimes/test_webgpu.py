"""WebGPU on the desktop, by the plugin from PyPI: greedy tokens of the shared vectors, and what stays on the CPU.

Needs ``pip install onnxruntime-ep-webgpu`` and an adapter. A machine without a GPU can lend a software one
(docs/deploy/webgpu.md); a step takes it seconds, so the prompts are few.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli_process import failed, run
from tests.consumers.test_vectors import TOKENIZER, TOLERANCES, VECTORS
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.providers.probe import probe

PLUGIN = "onnxruntime_ep_webgpu"
SHORTEST = min(range(len(VECTORS["greedy"])), key=lambda index: len(VECTORS["greedy"][index]["tokens"]))


def require_webgpu() -> None:
    """Skip, with the reason, where it doesn't run."""
    if importlib.util.find_spec(PLUGIN) is None:
        pytest.skip(f"{PLUGIN} is not installed")
    found = probe("WebGpuExecutionProvider")
    if not found.works:
        pytest.skip(f"WebGPU does not start here: {found.detail}")


@pytest.fixture(scope="module")
def decoder(nano_bundle: Callable[..., Path]) -> OrtDecoder:
    require_webgpu()
    opened = OrtDecoder.open(Bundle.open(nano_bundle("fp32", target="webgpu")), require_provider=True)
    yield opened
    opened.close()


def test_greedy_tokens_rewound_and_run_again(decoder: OrtDecoder) -> None:
    one, expected = VECTORS["greedy"][SHORTEST], VECTORS["logits"][SHORTEST]
    decoder.reset()
    row, found = decoder.prefill(one["ids"]), []
    assert np.abs(row - np.array(expected)).max() <= TOLERANCES["fp32"]
    while len(found) < len(one["tokens"]):
        found.append(int(row.argmax()))
        row = decoder.decode(found[-1:])[-1]
    assert found == one["tokens"] and found[-1] == TOKENIZER.eos_id
    decoder.rewind(1)
    np.testing.assert_allclose(decoder.decode(found[-1:])[-1], row, atol=1e-3)


def test_the_cache_stays_on_the_device_and_only_small_nodes_on_the_cpu(decoder: OrtDecoder) -> None:
    model = decoder.model
    _, present = model.run(np.array([[5, 6]]), np.ones((1, 2)), np.array([[0, 1]]))
    assert {value.device_name() for value in present} == {"webgpu"}
    nodes = model.placement.nodes
    assert nodes["webgpu"] > 10 * nodes["cpu"] and not model.placement.unexpected


def test_an_option_reaches_the_provider(decoder: OrtDecoder) -> None:
    """With int64 on the device, the mask's comparisons move there."""
    from youtu_onnx.runtimes.providers.options import ProviderOptions

    path = decoder.model.bundle
    moved = OrtDecoder.open(path, options=ProviderOptions.of({"enableInt64": True}))
    assert moved.model.placement.nodes.get("cpu", 0) < decoder.model.placement.nodes["cpu"]
    moved.close()
    with pytest.raises(UsageError, match="powerPreference"):
        OrtDecoder.open(path, options=ProviderOptions(device_id=1))


def test_without_an_adapter_it_is_one_line_of_cause_and_one_of_cure(nano_bundle: Callable[..., Path]) -> None:
    path = nano_bundle("fp32", target="webgpu")
    text = failed(
        run(
            "generate",
            path,
            "-p",
            "x",
            ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER="0",
            VK_ICD_FILENAMES="/nonexistent.json",
            VK_DRIVER_FILES="/nonexistent.json",
        ),
        4,
    )
    lines = [line for line in text.splitlines() if line.startswith(("error:", "  hint:"))]
    assert len(lines) == 2 and "webgpu" in lines[0]
    assert ("pip install onnxruntime-ep-webgpu" in lines[1]) == (importlib.util.find_spec(PLUGIN) is None)
