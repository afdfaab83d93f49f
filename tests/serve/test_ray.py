"""The application on Ray Serve. Ray is large and not among the tests' requirements: pip install "youtu-onnx[ray]"."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

import pytest

from tests.cli_process import ROOT

pytest.importorskip("ray", reason='Ray is not installed; pip install "youtu-onnx[ray]"')


def test_two_replicas_on_one_host(nano_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # replicas are started elsewhere
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:  # paths of sockets have little room
        done = subprocess.run(
            [sys.executable, "-m", "tests.serve.ray_program", str(nano_bundle()), short],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=ROOT,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))  # Ray writes beside it
    print(found)
    assert list(found["answers"].values()) == [32] and next(iter(found["answers"])).startswith("200 ")
    assert found["events"][-1] == "data: [DONE]" and any("usage" in line for line in found["events"])
    assert found["replicas"] == {"RUNNING": 2}
    assert len(found["completion_tokens"]) == 2 and not any(line.endswith(" 0.0") for line in found["completion_tokens"])
    if sys.platform == "linux":
        assert len(found["mapped"]) == 2
        assert all(pages["Shared_Clean"] + pages["Shared_Dirty"] > 0 == pages["Private_Dirty"] for pages in found["mapped"])


def test_ray_makes_arguments_of_what_the_command_line_says():
    """``serve run`` and configuration files give strings and mappings; Ray looks for the class at the builder."""
    import inspect

    from pydantic import BaseModel, ValidationError

    from youtu_onnx.serve.ray import app

    [parameter] = inspect.signature(app).parameters.values()
    assert issubclass(parameter.annotation, BaseModel)
    assert parameter.annotation.model_validate({"bundle": "b", "replicas": "2", "cpus": "4"}).cpus == 4
    with pytest.raises(ValidationError):
        parameter.annotation.model_validate({"bundle": "b", "replica": "2"})
