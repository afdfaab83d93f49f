"""Does an execution provider really run? Each is tried in a process of its own, so that a crash is a finding.

``onnxruntime.get_available_providers()`` lists what was compiled in; whether the driver and its libraries are there
shows only when a session is made, and ONNX Runtime then goes on with the CPU without failing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from youtu_onnx.runtimes.providers.advice import advise, said_last

SECONDS = 120
"""A first start of CUDA or DirectML may compile kernels."""

PROGRAM = "youtu_onnx.runtimes.providers.trial"
"""What the process runs."""


@dataclass(frozen=True)
class Probe:
    """One provider, by ONNX Runtime's name: whether it ran a matrix product, if not why, and what helps where that is known."""

    provider: str
    works: bool
    detail: str
    advice: str | None = None


def probe(provider: str, options: Mapping[str, object] | None = None) -> Probe:
    """Run a 4×4 matrix product on a provider in a new Python process.

    Args:
        provider: ONNX Runtime's name of it.
        options: the provider's options, as ``ProviderOptions.of`` takes them.
    """
    command = [sys.executable, "-m", PROGRAM, provider, json.dumps(dict(options or {}))]
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(provider, False, f"no answer within {SECONDS} s")
    except OSError as error:
        return Probe(provider, False, f"no process could be started ({error})")
    if ended.returncode < 0:
        return Probe(provider, False, f"crashed (signal {-ended.returncode})")
    lines = ended.stdout.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if ended.returncode == 0 else None
    except (ValueError, IndexError):
        answer = None
    if answer is not None and answer["runs_on"] == provider:
        return Probe(
            provider, bool(answer["right"]), "ran a matrix product" if answer["right"] else "gave a wrong matrix product"
        )
    known = advise(provider, ended.stderr)
    if known:
        return Probe(provider, False, known.cause, known.cure)
    if answer is not None:
        said = said_last(ended.stderr)
        detail = f"could not start; onnxruntime went on with {answer['runs_on']}"
        return Probe(provider, False, f"{detail} ({said})" if said else detail)
    return Probe(provider, False, said_last(ended.stderr) or f"ended with exit code {ended.returncode:#x}")


def _environment() -> dict[str, str]:
    """The same packages wherever this process found them, and none of the folder that it happens to be in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
