"""Bundles on arm64, as phones run them: ONNX Runtime's own aarch64 wheel, under qemu. How to make the folder that it needs:
``tests/consumers/aarch64_root.py``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.consumers import aarch64_root
from tests.consumers.aarch64_steps import logits_of
from tests.consumers.test_vectors import TOLERANCES, VECTORS

ROOT = Path(os.environ.get(aarch64_root.VARIABLE, ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(aarch64_root.QEMU) is None, reason=f"needs {aarch64_root.QEMU} (Debian: qemu-user-static)"),
    pytest.mark.skipif(
        not (ROOT / aarch64_root.PYTHON).is_file(),
        reason=f"{aarch64_root.VARIABLE} names no folder made by python -m tests.consumers.aarch64_root",
    ),
]

PROMPTS = [{"ids": one["ids"], "tokens": one["tokens"]} for one in VECTORS["greedy"][:4]]
STEPS = Path(__file__).with_name("aarch64_steps.py")
BETWEEN_PROCESSORS = {"fp32": 1e-3, "int4": 1.0}
"""Largest difference of a logit from x86-64's: int4 products round activations to 8 bits, in blocks of another order."""


KINDS = [("fp32", "latent"), ("int4", "latent"), ("int4", "latent-int8")]


def graph(bundle: Path) -> tuple[Path, Path]:
    return bundle / "model.onnx", bundle / "youtu_onnx.json"


@pytest.fixture(scope="module")
def arm64(nano_bundle: Callable[..., Path]) -> dict[str, Any]:
    """What arm64 answers. One process for all bundles: under qemu it takes longer to start than to run one."""
    files = [file for kind in KINDS for file in graph(nano_bundle(*kind))]
    done = aarch64_root.python(ROOT, STEPS, *files, stdin=json.dumps(PROMPTS))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("precision", "cache"), KINDS)
def test_tokens_and_logits(nano_bundle: Callable[..., Path], arm64: dict[str, Any], precision: str, cache: str):
    found = arm64["logits"][KINDS.index((precision, cache))]
    here = logits_of(*graph(nano_bundle(precision, cache)), PROMPTS)
    furthest = max(
        float(np.abs(np.array(rows[0]) - expected).max()) for rows, expected in zip(found, VECTORS["logits"], strict=False)
    )
    assert furthest <= TOLERANCES[precision]
    for rows, same in zip(found, here, strict=True):
        assert np.abs(np.array(rows) - np.array(same)).max() <= BETWEEN_PROCESSORS[precision]
    if precision == "fp32":
        for rows, one in zip(found, PROMPTS, strict=True):
            assert [int(np.argmax(row)) for row in rows[:-1]] == one["tokens"]


def test_it_is_arm64_that_runs(arm64: dict[str, Any]):
    assert arm64["machine"] == "aarch64" and "CPUExecutionProvider" in arm64["providers"]
