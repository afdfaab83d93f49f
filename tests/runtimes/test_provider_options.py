"""Options of providers: what applies is passed on as ONNX Runtime reads it, what doesn't is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import youtu_onnx
from tests.cli_process import failed, run
from youtu_onnx.cli.options import provider_options
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.opening import open_decoder
from youtu_onnx.runtimes.providers.options import APPLIES, ProviderOptions, parse
from youtu_onnx.runtimes.providers.providers import PROVIDERS, provider
from youtu_onnx.runtimes.providers.sessions import open_session
from youtu_onnx.runtimes.providers.tiny_model import tiny_model
from youtu_onnx.verify.provider import exact_options


def test_values_become_what_onnxruntime_reads() -> None:
    options = ProviderOptions.of({"device_id": "1", "gpu_mem_limit": "1.5GiB", "use_tf32": False, "prefer_nhwc": True})
    assert options == ProviderOptions(device_id=1, gpu_mem_limit=3 << 29, use_tf32=False, other=(("prefer_nhwc", "1"),))
    assert options.of_provider(provider("cuda")) == {
        "device_id": "1",
        "gpu_mem_limit": str(3 << 29),
        "use_tf32": "0",
        "prefer_nhwc": "1",
    }
    assert not ProviderOptions.of(None) and not ProviderOptions.of({"use_tf32": None})


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("512M", 512 << 20), ("6GiB", 6 << 30), ("2 gb", 2 << 30), ("1T", 1 << 40)])
def test_sizes(text: str, size: int) -> None:
    assert ProviderOptions.of({"gpu_mem_limit": text}).gpu_mem_limit == size


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gpu_mem_limit", "0"),
        ("gpu_mem_limit", "lots"),
        ("gpu_mem_limit", "-1"),
        ("device_id", "-1"),
        ("device_id", "first"),
        ("use_tf32", "maybe"),
        ("arena_extend_strategy", "big"),
        ("performance_preference", "fast"),
        ("device_filter", "tpu"),
    ],
)
def test_impossible_values_are_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{key} can't be"):
        ProviderOptions.of({key: value})


VALUES = {
    "device_id": "0",
    "gpu_mem_limit": "1G",
    "arena_extend_strategy": "kSameAsRequested",
    "use_tf32": "1",
    "performance_preference": "high_performance",
    "device_filter": "npu",
    "kernels": "native",
}


@pytest.mark.parametrize("key", APPLIES)
@pytest.mark.parametrize("row", PROVIDERS, ids=lambda row: row.name)
def test_an_option_of_another_provider_is_refused(key: str, row) -> None:
    options = ProviderOptions.of({key: VALUES[key]})
    if row.name in APPLIES[key]:
        assert list(options.of_provider(row)) == ([] if key == "kernels" else [key])  # kernels are nothing of ONNX Runtime's
    else:
        with pytest.raises(UsageError, match=f"{key} is an option of provider"):
            options.of_provider(row)


def test_directml_given_a_device_would_not_look_at_what_it_should_be_like() -> None:
    with pytest.raises(UsageError, match="looks at no"):
        ProviderOptions(device_id=1, performance_preference="minimum_power").of_provider(provider("dml"))


@pytest.mark.parametrize("name", ["cuda", "dml", "webgpu"])
def test_graph_capture_is_refused_because_the_cache_grows(name: str) -> None:
    capture = provider(name).capture
    assert capture is not None
    with pytest.raises(UsageError, match="replays"):
        ProviderOptions.of({capture: "1"}).of_provider(provider(name))


def test_graph_capture_may_be_switched_off() -> None:
    assert ProviderOptions.of({"enable_cuda_graph": "0"}).of_provider(provider("cuda")) == {"enable_cuda_graph": "0"}


def test_an_unknown_key_is_refused_with_those_that_are_known() -> None:
    for name, known in (
        ("webgpu", "powerPreference"),
        ("dml", "performance_preference"),
        ("openvino", "device_type"),
        ("cpu", "kernels"),
    ):
        with pytest.raises(UsageError, match="no option nonsense") as caught:
            ProviderOptions.of({"nonsense": "1"}).of_provider(provider(name))
        assert known in str(caught.value)


def test_an_unknown_key_is_asked_of_onnxruntime_where_no_list_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's options are what a session on it lists; here a session that says so stands for one on a GPU."""

    class OnGpu:
        def get_provider_options(self):
            return {"CUDAExecutionProvider": {"device_id": "0", "use_tf32": "1"}, "CPUExecutionProvider": {}}

    import onnxruntime as ort

    monkeypatch.setattr("youtu_onnx.runtimes.providers.sessions._start", lambda *_: OnGpu())
    with pytest.raises(UsageError, match="nonsense") as caught:
        open_session(tiny_model(), ort.SessionOptions(), provider("cuda"), ProviderOptions.of({"nonsense": "1"}))
    assert "device_id, use_tf32" in str(caught.value)


@pytest.mark.parametrize("pair", ["device_id", "=1", "device_id=", ""])
def test_pairs_need_a_key_and_a_value(pair: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse([pair])


def test_pairs_and_named_options_come_together() -> None:
    assert parse(["a=b=c", " x = y "]) == {"a": "b=c", "x": "y"}
    with pytest.raises(UsageError, match="twice"):
        parse(["a=1", "a=2"])
    made = provider_options(1, "2G", False, ["prefer_nhwc=1"])
    assert made == ProviderOptions(device_id=1, gpu_mem_limit=2 << 30, use_tf32=False, other=(("prefer_nhwc", "1"),))
    with pytest.raises(UsageError, match="are the same"):
        provider_options(1, None, None, ["device_id=1"])


def test_verify_computes_without_tf32_unless_told() -> None:
    assert exact_options(None, "cuda").use_tf32 is False
    assert exact_options(ProviderOptions(use_tf32=True), "cuda").use_tf32 is True
    assert exact_options(ProviderOptions(device_id=1), "CUDAExecutionProvider") == ProviderOptions(device_id=1, use_tf32=False)
    assert exact_options(None, "cpu") == ProviderOptions(kernels="onnxruntime")


def test_options_reach_every_way_of_opening(nano_bundle: Callable[..., Path]) -> None:
    path = nano_bundle("fp32")
    with pytest.raises(UsageError, match="not of cpu"):
        youtu_onnx.load(path, provider_options={"device_id": 1})
    with pytest.raises(UsageError, match="takes a provider's options from"):
        open_decoder(Bundle.open(path), "genai", options=ProviderOptions(device_id=1))
    for command in (
        ("generate", path, "-p", "x"),
        ("chat", path),
        ("bench", path),
        ("verify", path),
        ("evaluate", path),
        ("doctor", path),
    ):
        assert "device_id is an option of provider cuda or dml or migraphx, not of cpu" in failed(
            run(*command, "--device", "1"), 2
        )
