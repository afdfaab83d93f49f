"""The table of WebGPU's kernels against the plugin from PyPI, operator by operator. Of those nothing is run, so it takes seconds.

Needs what ``test_webgpu.py`` needs."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

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


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_zero_points_are_found_in_rows_of_any_number_of_blocks(device: ort.InferenceSession, bits: int, blocks: int) -> None:
    """DirectML looks for those of 8 bits in other places where the number is odd."""
    random, rows, size = np.random.default_rng(blocks), 24, 32
    codes = random.integers(0, 2**bits, (rows, blocks, size), np.uint8)
    zeros = random.integers(0, 2**bits, (rows, blocks), np.uint8)
    scales = random.random((rows, blocks), np.float32)
    x = random.normal(size=(2, blocks * size)).astype(np.float32)
    weight = ((codes.astype(np.float32) - zeros[..., None]) * scales[..., None]).reshape(rows, -1)
    if bits == 4:
        codes = codes[..., ::2] | codes[..., 1::2] << 4
        zeros = np.pad(zeros, ((0, 0), (0, blocks % 2)))
        zeros = zeros[:, ::2] | zeros[:, 1::2] << 4
    constants = [numpy_helper.from_array(array, name) for name, array in (("b", codes), ("s", scales), ("z", zeros))]
    numbers = {"K": blocks * size, "N": rows, "bits": bits, "block_size": size}
    node = helper.make_node("MatMulNBits", ["x", "b", "s", "z"], ["y"], domain="com.microsoft", **numbers)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, n]) for name, n in (("x", blocks * size), ("y", rows))]
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], constants)
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    session = opened(helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString())
    assert Placement.of(session, provider("webgpu")).nodes == {"webgpu": 1}
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ weight.T, rtol=1e-3, atol=1e-3 * np.abs(weight).max())
