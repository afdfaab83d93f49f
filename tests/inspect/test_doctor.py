"""``youtu-onnx doctor`` says what really runs, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from youtu_onnx.inspect.diagnosis import CPU, diagnose
from youtu_onnx.inspect.packages import PURPOSES, Package, packages, requirements
from youtu_onnx.runtimes.providers.packages import distribution_version
from youtu_onnx.runtimes.providers.probe import Probe, probe
from youtu_onnx.runtimes.providers.tiny_model import tiny_model

ROOT = Path(__file__).parents[2]


def test_the_tiny_model_is_valid_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(tiny_model())
    onnx.checker.check_model(model, full_check=True)
    [node] = model.graph.node
    assert node.op_type == "MatMul"
    assert model.SerializeToString() == tiny_model()


def test_the_cpu_really_runs() -> None:
    assert probe("CPUExecutionProvider") == Probe("CPUExecutionProvider", True, "ran a matrix product")


def test_a_provider_that_is_not_there_is_not_the_cpu() -> None:
    found = probe("MIGraphXExecutionProvider")
    if not found.works:
        assert "is not in the installed onnxruntime, which has" in found.detail and "CPUExecutionProvider" in found.detail


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("import os; os.abort()", "crashed (signal 6)" if sys.platform != "win32" else "exit code"),
        ("import sys; sys.exit('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
        ("print('not json')", "exit code 0x0"),
        ("""print('{"runs_on": "CPUExecutionProvider", "right": true}')""", "went on with CPUExecutionProvider"),
        ("""print('{"runs_on": "SomeProvider", "right": false}')""", "wrong matrix product"),
    ],
)
def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, expected: str) -> None:
    (tmp_path / "failing_trial.py").write_text(script, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("youtu_onnx.runtimes.providers.probe.PROGRAM", "failing_trial")
    monkeypatch.setattr("youtu_onnx.runtimes.providers.probe.SECONDS", 2)
    found = probe("SomeProvider")
    assert not found.works
    assert expected in found.detail


def test_every_requirement_of_pyproject_can_be_read() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written = {"": project["dependencies"]} | project["optional-dependencies"]
    metadata = [f'{one}; extra == "{extra}"' if extra else one for extra, listed in written.items() for one in listed]
    found = {(extra, f"{name}>={minimum}") for name, minimum, extra in requirements(metadata)}
    assert found == {(extra, one) for extra in PURPOSES for one in written[extra]}


def test_the_packages_are_those_of_the_installed_distribution() -> None:
    listed = importlib.metadata.requires("youtu-onnx")
    assert listed and [(one.name, one.minimum, one.extra) for one in packages()] == list(requirements(listed))


def test_requirements_are_read_as_metadata_writes_them() -> None:
    assert requirements(
        [
            'torch>=2.9; extra == "export"',
            "numpy>=1.26",
            "uvicorn[standard]>=0.50 ; extra == 'serve'",
            'ray[serve]>=2.60; extra == "ray"',
            'onnxruntime-gpu>=1.27; sys_platform != "darwin" and extra == "cuda"',
        ]
    ) == (("numpy", "1.26", ""), ("torch", "2.9", "export"), ("uvicorn", "0.50", "serve"))


@pytest.mark.parametrize(
    ("version", "minimum", "good"),
    [
        ("1.24", "1.24", True),
        ("1.24.1", "1.24", True),
        ("1.9.3", "1.24", False),
        ("2.13.0+cpu", "2.9", True),
        ("10.0rc1", "9.5", True),
        (None, "1", False),
    ],
)
def test_versions_compare_as_numbers(version: str | None, minimum: str, good: bool) -> None:
    assert Package("x", version, minimum, "").good is good


def works(name: str) -> Probe:
    return Probe(name, True, "ran a matrix product")


def only(*names: str) -> Callable[[], list[str]]:
    return lambda: list(names)


def test_missing_packages_come_with_the_command() -> None:
    def version(name: str) -> str | None:
        return None if name in ("torch", "fastapi") else distribution_version(name)

    found = {missing.what.split(":")[0]: missing for missing in diagnose(version=version, tried=works).missing}
    assert found["exporting and verifying"].command == 'pip install -U "youtu-onnx[export]"'
    assert "torch" in found["exporting and verifying"].what
    assert "fastapi" in found["the HTTP server"].what


def test_directml_s_build_is_new_enough_where_it_is_asked_for_and_exports_stand_apart_from_it() -> None:
    def version(name: str) -> str | None:
        return {"onnxruntime": None, "onnxruntime-directml": "1.24.4"}.get(name, distribution_version(name))

    found = diagnose(version=version, tried=works)
    shown = {package.extra: str(package) for package in found.packages if package.name == "onnxruntime-directml"}
    assert shown[""] == "onnxruntime-directml 1.24.4" and "too old" in shown["export"]
    told = [missing.what for missing in found.missing]
    assert not any(what.startswith("running") for what in told)
    assert any(what.startswith("exporting and verifying, in an environment of its own: onnxruntime-directml") for what in told)


def test_two_onnxruntimes_are_named() -> None:
    found = diagnose(version=lambda name: "99", tried=works)
    assert any("onnxruntime, onnxruntime-gpu" in missing.what for missing in found.missing)


def test_a_broken_provider_is_reported_and_a_broken_cpu_means_nothing_runs() -> None:
    both = only("CUDAExecutionProvider", CPU)
    found = diagnose(listed=both, tried=lambda name: Probe(name, name == CPU, "libcudnn is missing"))
    assert found.can_run
    assert any("libcudnn" in missing.what and "onnxruntime-gpu" in missing.command for missing in found.missing)
    assert not diagnose(listed=both, tried=lambda name: Probe(name, False, "no")).can_run


def test_a_provider_s_own_advice_comes_before_a_new_installation() -> None:
    found = diagnose(
        listed=only("CUDAExecutionProvider"), tried=lambda name: Probe(name, False, "no driver", "install the driver")
    )
    assert [one.command for one in found.missing if "no driver" in one.what] == ["install the driver"]


def test_command() -> None:
    run = [sys.executable, "-m", "youtu_onnx.cli", "doctor"]
    ended = subprocess.run(run, capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"ok\s+CPUExecutionProvider: ran a matrix product", ended.stdout)
    report = json.loads(subprocess.run([*run, "--json"], capture_output=True, text=True, encoding="utf-8").stdout)
    assert report["can_run"]
    assert report["memory_total"] >= report["memory_available"] > 0
    assert {package["name"] for package in report["packages"]} >= {"onnxruntime", "torch"}


def test_a_gpu_that_nobody_asked_for_is_no_failure_and_the_last_line_says_what_can_be_done() -> None:
    def version(name: str) -> str | None:
        return None if name == "fastapi" else "999"

    webgpu = "WebGpuExecutionProvider"
    found = diagnose(listed=lambda: [CPU, webgpu], tried=lambda name: Probe(name, name == CPU, "no adapter"), version=version)
    states = [value.split()[0] for name, value in found.rows() if "ExecutionProvider: " in value and name in ("providers", "")]
    assert states == ["ok", "no"]
    assert found.verdict == "this machine can run bundles on the CPU and export checkpoints"
    found = diagnose(listed=lambda: [CPU, webgpu], tried=lambda name: Probe(name, True, "ran"), version=lambda _: "999")
    assert found.verdict == "this machine can run bundles on the CPU and webgpu, serve them over HTTP and export checkpoints"
    found = diagnose(listed=lambda: [CPU], tried=lambda name: Probe(name, False, "broken"), version=lambda _: "999")
    assert "FAILED  CPUExecutionProvider: broken" in dict(found.rows())["providers"]
    assert found.verdict.startswith("this machine can run no bundle yet")
