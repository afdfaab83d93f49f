"""The library for Windows, by wine: kernels against plain arithmetic, and a bundle in ONNX Runtime for Windows.

Needs wine64 (Debian's package), ziglang (PyPI), and for the second ``onnxruntime.dll`` out of the wheel for win_amd64, named by
``YOUTU_ONNX_WINDOWS_ONNXRUNTIME``. ``native/README.md`` has the commands.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.consumers.test_vectors import VECTORS
from tests.native.libraries import NATIVE, building, compared, known
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.native import library as installed
from youtu_onnx.runtimes.native import named
from youtu_onnx.runtimes.ort.decoder import OrtDecoder

WINDOWS = building.Target("x86_64", "windows")
WINE = next((path for path in map(shutil.which, ("wine64", "/usr/lib/wine/wine64")) if path), None)
ONNXRUNTIME = os.environ.get("YOUTU_ONNX_WINDOWS_ONNXRUNTIME", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WINE is None, reason="needs wine (Debian: wine64)"),
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs ziglang"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``built(program=None)``: the library, or a program with the kernels in it."""
    folder = tmp_path_factory.mktemp("windows")

    def build(program: Path | None = None, extra: Sequence[str] = ()) -> Path:
        made: Path = building.build(folder, WINDOWS, building.zig(WINDOWS), extra, program)
        return made

    return build


@pytest.fixture(scope="module", autouse=True)
def prefix(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WINEPREFIX", str(tmp_path_factory.mktemp("wine") / "prefix"))
        patch.setenv("WINEDEBUG", "-all")
        yield


def seen_by_wine(path: Path) -> str:
    return "Z:" + str(path.resolve()).replace("/", "\\")


def test_kernels(built: Callable[..., Path], library: Path) -> None:
    assert compared([WINE, built(NATIVE / "compare" / "compare.c")]) == known(library)


@pytest.mark.skipif(not ONNXRUNTIME, reason="needs YOUTU_ONNX_WINDOWS_ONNXRUNTIME")
@pytest.mark.parametrize("options", [{}, {"cache": "latent-int8"}], ids=["latent", "latent-int8"])
def test_a_bundle(
    options: dict[str, str],
    built: Callable[..., Path],
    nano_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its logits are, bit for bit, those of this machine's build of the same kernels."""
    folder = Path(shutil.copytree(nano_bundle("int4", **options), tmp_path / "bundle"))
    graph = named.write(Bundle.open(folder)).graph
    program = tmp_path / "windows_session.exe"
    source = Path(__file__).with_name("windows_session.c")
    subprocess.run([*building.zig(WINDOWS), "-O1", str(source), "-o", str(program)], check=True)
    ids = VECTORS["greedy"][0]["ids"]
    lines = []
    for one in onnx.load(graph, load_external_data=False).graph.input:
        kind = one.type.tensor_type.elem_type
        if one.name.startswith("past"):
            shape = [d.dim_value for d in one.type.tensor_type.shape.dim]
            lines.append(f"{one.name} {kind} 4 1 1 0 {shape[3]}")
        elif one.name in ("input_ids", "attention_mask", "position_ids"):
            numbers = {"input_ids": ids, "attention_mask": [1] * len(ids), "position_ids": range(len(ids))}[one.name]
            lines.append(f"{one.name} {kind} 2 1 {len(ids)} {' '.join(map(str, numbers))}")
    words = [WINE, program, *map(seen_by_wine, (Path(ONNXRUNTIME), built(), graph)), "logits", "2"]
    done = subprocess.run(list(map(str, words)), input="\n".join(lines), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    logits = np.array(done.stdout.split(), np.float32).reshape(len(ids), -1)
    monkeypatch.setenv(installed.VARIABLE, "native")
    np.testing.assert_array_equal(logits, OrtDecoder.open(Bundle.open(folder), "cpu").decode(ids))
