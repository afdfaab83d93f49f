"""The table of WebGPU's kernels against the plugin from PyPI, operator by operator. Nothing is run, so it takes seconds.

Needs what ``test_webgpu.py`` needs."""

from __future__ import annotations

import importlib.metadata

import onnxruntime as ort
import pytest

from tests.one_node import key, offers, untried
from tests.runtimes.test_webgpu import require_webgpu
from youtu_onnx.conformance import WEBGPU
from youtu_onnx.runtimes.ort.placement import Placement
from youtu_onnx.runtimes.providers.log import FATAL
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.plugins import available
from youtu_onnx.runtimes.providers.providers import provider
from youtu_onnx.runtimes.providers.sessions import open_session


def opened(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return open_session(model, options, provider("webgpu"), ProviderOptions())


@pytest.fixture(scope="module")
def device():
    """A session that stays open, beside which the others start in half a millisecond instead of ten."""
    require_webgpu()
    assert provider("webgpu").ort in available(provider("webgpu"))  # which loads the plugin
    return opened(next(offers()).model)


def test_every_operator_version_and_type(device: ort.InferenceSession) -> None:
    wrong = []
    for offer in offers():
        try:
            where = Placement.of(opened(offer.model), provider("webgpu"))
            taken = where.nodes.get("webgpu", 0) > 0 and key(offer.operator)[1] not in {stray.op for stray in where.strays}
        except Exception:  # neither WebGPU nor the CPU has a kernel
            taken = False
        if taken != offer.listed(WEBGPU):
            wrong.append(f"{offer}: the plugin {'takes it' if taken else 'leaves it'}")
    installed = importlib.metadata.version("onnxruntime-ep-webgpu")
    assert not wrong, "\n".join([f"{WEBGPU.release}; installed is {installed}", *wrong])


def test_nothing_in_the_table_is_left_untried() -> None:
    assert not untried(WEBGPU)
