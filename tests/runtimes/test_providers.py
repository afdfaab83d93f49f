"""Choosing where to run: the right provider, or an error that says how to get it; never another one in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from youtu_onnx.core.errors import BundleError, ProviderError, UsageError
from youtu_onnx.core.target import TARGETS
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.plugins import available, plugin_failure
from youtu_onnx.runtimes.providers.probe import Probe
from youtu_onnx.runtimes.providers.providers import PROVIDERS, called_by_onnxruntime, provider, short
from youtu_onnx.runtimes.providers.resolve import resolve
from youtu_onnx.runtimes.providers.sessions import check_started

CPU = ["AzureExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("cpu", "cpu"),
        ("CPU", "cpu"),
        (" Cuda ", "cuda"),
        ("directml", "dml"),
        ("DML", "dml"),
        ("WebGPU", "webgpu"),
        ("CUDAExecutionProvider", "cuda"),
        ("dmlexecutionprovider", "dml"),
        ("CoreMLExecutionProvider", "coreml"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert provider(spelling).name == name


@pytest.mark.parametrize("name", ["", "tpu", "cpu,cuda", "ExecutionProvider"])
def test_an_unknown_name_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name, "cpu", CPU)
    assert all(row.name in str(caught.value) for row in PROVIDERS)


def test_every_target_has_a_provider() -> None:
    for target in TARGETS.values():
        assert provider(target.provider).name == ("cpu" if target.on_cpu else target.name)


def test_the_default_is_what_the_bundle_was_made_for() -> None:
    assert resolve(None, "cpu", CPU).name == "cpu"
    assert resolve(None, "cuda", ["CUDAExecutionProvider", *CPU]).name == "cuda"


@pytest.mark.parametrize("asked", [None, "cuda"])
def test_a_missing_provider_names_its_package_and_never_becomes_the_cpu(asked: str | None) -> None:
    with pytest.raises(ProviderError) as caught:
        resolve(asked, "cuda", CPU)
    assert caught.value.exit_code == 4
    assert "pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'" in str(caught.value)
    assert "--provider cpu" in str(caught.value)


def test_a_provider_that_another_build_s_files_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr("youtu_onnx.runtimes.providers.resolve.distribution_version", both.get)
    with pytest.raises(ProviderError, match="onnxruntime and onnxruntime-gpu overwrote each other") as caught:
        resolve("cuda", "cpu", CPU)
    assert caught.value.hint == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"


def test_a_target_from_the_future() -> None:
    with pytest.raises(BundleError, match="quantum"):
        resolve(None, "quantum", CPU)
    assert resolve("cpu", "quantum", CPU).name == "cpu"


def running_on(*active: str) -> SimpleNamespace:
    return SimpleNamespace(get_providers=lambda: list(active))


def test_a_provider_that_could_not_start_is_an_error_with_the_reason() -> None:
    cuda = provider("cuda")
    check_started(running_on("CUDAExecutionProvider", "CPUExecutionProvider"), cuda, lambda: pytest.fail("asked for no reason"))
    with pytest.raises(ProviderError, match="cuda could not start: no driver") as caught:
        check_started(running_on("CPUExecutionProvider"), cuda, lambda: Probe(cuda.ort, False, "no driver", "install one"))
    assert (caught.value.exit_code, caught.value.hint) == (4, "install one")
    with pytest.raises(ProviderError, match="offers cpu instead") as caught:
        check_started(running_on("CPUExecutionProvider"), cuda, lambda: Probe(cuda.ort, True, "ran a matrix product"))
    assert "youtu-onnx doctor" in str(caught.value)


def test_a_plugin_that_is_installed_and_does_not_start_is_told_with_the_cure() -> None:
    with pytest.raises(ProviderError, match="no graphics adapter") as caught:
        resolve("webgpu", "cpu", CPU, "onnxruntime_ep_webgpu is installed, but found no device")
    assert caught.value.hint and "Vulkan" in caught.value.hint
    with pytest.raises(ProviderError, match="could not start: out of luck"):
        resolve("webgpu", "cpu", CPU, "out of luck")


def test_a_plugin_is_installed_beside_onnxruntime() -> None:
    assert provider("webgpu").install_command == "pip install onnxruntime-ep-webgpu"


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("cpu", "onnxruntime"),
        ("cuda", "onnxruntime-gpu"),
        ("dml", "onnxruntime-directml"),
        ("webgpu", "onnxruntime-ep-webgpu"),
        ("migraphx", "onnxruntime"),
    ],
)
def test_what_is_broken_is_installed_again(name: str, distribution: str) -> None:
    assert provider(name).repair_command == f"pip install --force-reinstall --no-deps {distribution}"


def test_what_shows_that_a_machine_could_have_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert [one.name for one in PROVIDERS if one.sign()] == []
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr("platform.system", lambda: "Windows")
    assert [one.name for one in PROVIDERS if one.sign()] == ["cuda", "dml"]


def test_onnxruntimes_names_are_read_whether_they_are_known_or_not() -> None:
    assert all(called_by_onnxruntime(one.ort) is one for one in PROVIDERS)
    assert short("CUDAExecutionProvider") == "cuda" and short("AzureExecutionProvider") == "azure"
    assert called_by_onnxruntime("AzureExecutionProvider").ort == "AzureExecutionProvider"


def test_what_commands_ask_before_anything_runs_needs_no_onnxruntime() -> None:
    light = ("providers.providers", "providers.options", "providers.choice", "providers.probe", "decoder", "batch")
    imports = "\n".join(f"import youtu_onnx.runtimes.{name}" for name in light)
    program = f"import sys\n{imports}\nsys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_no_two_providers_share_a_spelling() -> None:
    spellings = [spelling for one in PROVIDERS for spelling in (one.name, one.ort.lower(), *one.aliases)]
    assert len(set(spellings)) == len(spellings)


def test_a_plugin_that_is_not_installed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime as ort

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert available(provider("webgpu")) == ort.get_available_providers()
    assert plugin_failure(provider("webgpu")) is None and plugin_failure(provider("cuda")) is None


def test_threads_are_at_least_one_and_at_most_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("youtu_onnx.runtimes.ort.threads.CPU_QUOTA", quota)
    assert thread_count(None) == 16
    quota.write_text("400000 100000\n")
    assert thread_count(None) == 4
    quota.write_text("50000 100000\n")
    assert thread_count(None) == 1
    quota.write_text("max 100000\n")
    assert thread_count(None) == 16
    assert thread_count(3) == 3
    with pytest.raises(UsageError):
        thread_count(0)
