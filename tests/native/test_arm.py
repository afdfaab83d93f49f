"""Kernels against plain arithmetic (``native/compare``): here on this machine's instruction sets, and on arm64's under qemu."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.consumers import aarch64_root
from tests.consumers.aarch64_steps import logits_of
from tests.consumers.test_vectors import VECTORS
from tests.native.libraries import HERE, NATIVE, building, compared, compiler, keeping, known
from youtu_onnx.core.bundle import names
from youtu_onnx.runtimes.native.rewriting import rewrite

PROGRAM = NATIVE / "compare" / "compare.c"
ARM = building.Target("aarch64", "linux")
ROOT = Path(os.environ.get(aarch64_root.VARIABLE, ""))
QEMU = aarch64_root.QEMU
GCC = "aarch64-linux-gnu-gcc"
PROCESSORS = {"max": ["i8mm", "dotprod", "plain"], "neoverse-n1": ["dotprod", "plain"], "cortex-a57": ["plain"]}
"""What qemu can be, and which instruction sets are to be found on it."""

BETWEEN_KERNELS = 0.5
"""Largest difference of a logit: activations are rounded to 8 bits, and a step is where one number lands on another byte."""


@pytest.fixture(scope="module")
def for_arm(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program for arm64, which needs no library of that machine."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"needs {QEMU} (Debian: qemu-user-static)")
    if shutil.which(GCC) is None:
        pytest.skip(f"needs {GCC} (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)")
    made: Path = building.build(tmp_path_factory.mktemp("arm"), ARM, keeping([GCC], libraries), ["-static"], PROGRAM)
    return made


def test_on_this_machine(library: Path, libraries: Path, tmp_path: Path) -> None:
    made = building.build(tmp_path, HERE, keeping(compiler(), libraries), ["-Werror"], PROGRAM)
    assert compared([made]) == known(library)


@pytest.mark.skipif(
    "YOUTU_ONNX_THOROUGH" not in os.environ,
    reason="a minute's compilation; tests/native/test_sanitized.py has the operators under the same sanitizers",
)
def test_no_byte_outside_a_buffer(library: Path, tmp_path: Path) -> None:
    extra = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-O1"]
    try:
        made = building.build(tmp_path, HERE, compiler(), extra, PROGRAM)
    except SystemExit:
        pytest.skip("this compiler, or this system, has no sanitizers")
    assert compared([made]) == known(library)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_on_arm64(processor: str, for_arm: Path) -> None:
    assert compared([QEMU, "-cpu", processor, for_arm]) == PROCESSORS[processor]


def native_graph(bundle: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a bundle whose graph names the operators, and its manifest."""
    rewritten = rewrite(bundle / "model.onnx")
    assert rewritten is not None and {"Linear"} < set(rewritten.operators)
    shutil.copytree(bundle, folder)
    (folder / "model.onnx").write_bytes(rewritten.model)
    return folder / "model.onnx", folder / names.MANIFEST


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / aarch64_root.PYTHON).is_file(),
    reason=f"{aarch64_root.VARIABLE} names no folder made by python -m tests.consumers.aarch64_root",
)
def test_bundles_on_arm64(
    for_arm: Path, library: Path, libraries: Path, nano_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    """ONNX Runtime's aarch64 wheel registers the library; logits are those of this machine's, tokens those of its own kernels."""
    prompts = [{"ids": one["ids"], "tokens": one["tokens"][:6]} for one in VECTORS["greedy"][:3]]
    caches = ["latent", "latent-int8"]
    bundles = [nano_bundle("int4", cache) for cache in caches]
    graphs = [native_graph(bundle, tmp_path / cache) for bundle, cache in zip(bundles, caches, strict=True)]
    arm = building.build(tmp_path / "arm", ARM, keeping([GCC], libraries))
    steps = Path(aarch64_root.__file__).with_name("aarch64_steps.py")
    files = [file for graph in graphs for file in graph]
    done = aarch64_root.python(ROOT, steps, "--library", arm, *files, stdin=json.dumps(prompts))
    assert done.returncode == 0, done.stderr
    for found, graph, bundle in zip(json.loads(done.stdout)["logits"], graphs, bundles, strict=True):
        here = logits_of(*graph, prompts, library)
        own = logits_of(bundle / "model.onnx", bundle / names.MANIFEST, prompts)
        for rows, same, theirs in zip(map(np.array, found), map(np.array, here), map(np.array, own), strict=True):
            assert np.abs(rows - same).max() <= BETWEEN_KERNELS
            assert np.abs(rows - theirs).max() <= BETWEEN_KERNELS
            assert rows.argmax(-1).tolist() == theirs.argmax(-1).tolist()
