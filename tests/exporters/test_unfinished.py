"""A calibrated export that is killed goes on where it was, and leaves nothing behind when it is done."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

pytest.importorskip("torch")

from youtu_onnx.core.bundle import names
from youtu_onnx.core.progress import Silent
from youtu_onnx.exporters.assembly import Piece
from youtu_onnx.exporters.unfinished import Unfinished
from youtu_onnx.publish.exporting import export

PIECES = (Piece("codes", ir.DataType.UINT8, (3, 2, 16)), Piece("scales", ir.DataType.FLOAT, (3, 2)))
ARRAYS = (np.arange(96, dtype=np.uint8).reshape(3, 2, 16), np.ones((3, 2), np.float32))
SLOW = """
import sys, time
from youtu_onnx.exporters.quantize import gptq
rows = gptq.Gptq._rows
def slow(*arguments):
    time.sleep(0.3)
    return rows(*arguments)
gptq.Gptq._rows = slow
from youtu_onnx.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_killed_export_goes_on(tmp_path: Path) -> None:
    output, kept = tmp_path / "bundle", tmp_path / ".bundle.calibrated"
    options = [
        "export",
        "-m",
        "youtu-nano",
        "-o",
        str(output),
        "--algorithm",
        "gptq",
        "--calibration-tokens",
        "300",
        "--no-verify",
    ]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(kept.glob("*.npz"))) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert not output.exists()
    notes = Notes()
    made = export("youtu-nano", output, algorithm="gptq", calibration_tokens=300, verify=False, progress=notes).bundle
    assert any("matrices had been calibrated when the last export was cut short" in one for one in notes.said)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bundle"], "nothing is left"
    whole = export("youtu-nano", tmp_path / "whole", algorithm="gptq", calibration_tokens=300, verify=False).bundle
    assert made.manifest.files[names.MODEL_DATA] == whole.manifest.files[names.MODEL_DATA], "the same bytes"


def test_what_was_kept_for_something_else_is_thrown_away(tmp_path: Path) -> None:
    with Unfinished(tmp_path / "bundle", {"recipe": 1}) as kept:
        assert kept.get("a", PIECES) is None
        kept.put("a", ARRAYS)
    with Unfinished(tmp_path / "bundle", {"recipe": 1}) as kept:
        found = kept.get("a", PIECES)
        assert found is not None and all(map(np.array_equal, found, ARRAYS)) and kept.taken == 1
    with Unfinished(tmp_path / "bundle", {"recipe": 2}) as kept:
        assert kept.get("a", PIECES) is None
        kept.done()
    assert not list(tmp_path.iterdir())


def test_damaged_files_and_those_of_another_shape_are_made_anew(tmp_path: Path) -> None:
    with Unfinished(tmp_path / "bundle", {}) as kept:
        kept.put("a", ARRAYS)
        [file] = kept.folder.glob("*.npz")
        whole = file.read_bytes()
        assert kept.get("a", (PIECES[0], Piece("scales", ir.DataType.FLOAT, (2, 3)))) is None
        assert kept.get("a", (*PIECES, PIECES[0])) is None
        for damaged in (whole[:-40], b"", whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]):
            file.write_bytes(damaged)
            assert kept.get("a", PIECES) is None
        kept.put("a", ARRAYS)
        assert kept.get("a", PIECES) is not None


def test_two_at_once_do_not_share(tmp_path: Path) -> None:
    with Unfinished(tmp_path / "bundle", {}) as one:
        one.put("a", ARRAYS)
        with Unfinished(tmp_path / "bundle", {}) as other:
            assert other.get("a", PIECES) is None
            other.put("b", ARRAYS)
            other.done()
        assert one.get("a", PIECES) is not None and one.get("b", PIECES) is None
    shutil.rmtree(one.folder)
