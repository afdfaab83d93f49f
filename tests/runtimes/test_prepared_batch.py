"""Prepared copies of the batch graph: as those of ``model.onnx``, and beside them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.cli_process import ROOT, failed, run
from tests.runtimes import test_prepared
from tests.runtimes.test_prepared import flip, left_in, spoil
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError, VerificationError
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort import prepared, preparing
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.prepared_folder import RECORD
from youtu_onnx.runtimes.ort.prepared_key import key_of, name_of

bundle, cache = test_prepared.bundle, test_prepared.cache


def logits(bundle: Bundle, *, copied: bool) -> np.ndarray:
    """Of a long chunk, a short one beside a token, and two tokens; from a prepared copy or not, as is claimed."""
    model = BatchModel(bundle, threads=1)
    assert (model.prepared is not None) == copied
    first, second = model.new_cache(), model.new_cache()
    steps = [
        model.step({}, Chunk(first, range(100), True)),
        model.step({2: (first, 5)}, Chunk(second, [3, 141, 59], True)),
        model.step({2: (first, 7), 5: (second, 9)}),
    ]
    model.close()
    return np.concatenate(steps)


@pytest.fixture
def copy(bundle: Bundle) -> prepared.Prepared:
    return preparing.make(bundle, graph=names.BATCH)[0]


def test_the_copy_is_used_by_itself_and_computes_the_same(bundle):
    own = logits(bundle, copied=False)
    made, new = preparing.make(bundle, graph=names.BATCH)
    assert new and made.graph == names.BATCH and made.packed > 0.5 * bundle.manifest.files[names.MODEL_DATA].size
    np.testing.assert_array_equal(logits(bundle, copied=True), own)
    assert preparing.make(bundle, graph=names.BATCH) == (made, False)


def test_keys_of_model_copies_are_as_before(bundle):
    """A change would orphan every copy that users have."""
    files = bundle.manifest.files
    key = {
        "format": "1",
        "bundle": str(bundle.path),
        "model.onnx": files["model.onnx"].sha256,
        "model.onnx.data": files["model.onnx.data"].sha256,
        "onnxruntime": ort.__version__,
        "machine": key_of(bundle)["machine"],
        "cpu": key_of(bundle)["cpu"],
    }
    assert key_of(bundle) == key
    assert name_of(bundle) == hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def test_both_copies_live_beside_each_other_and_go_together(bundle, copy, cache):
    other, new = preparing.make(bundle)
    assert new and left_in(cache) == {copy.folder.name, other.folder.name}
    assert {path.name for path in copy.folder.iterdir()} == {RECORD, names.BATCH, names.MODEL_DATA}
    assert not preparing.make(bundle, graph=names.BATCH)[1]
    assert prepared.find(bundle) == other and prepared.find_batch(bundle) == copy
    assert sorted(preparing.remove(bundle.path)) == sorted([copy.folder, other.folder]) and left_in(cache) == set()


def test_a_copy_of_one_graph_is_no_reason_to_warn_about_the_other(bundle, copy, caplog):
    assert prepared.find(bundle) is None and not caplog.records


def test_a_bundle_exported_anew_in_place(nano_bundle, bundle, copy, cache, caplog):
    shutil.rmtree(bundle.path)
    shutil.copytree(nano_bundle("int4"), bundle.path)
    graph = bundle.path / names.BATCH
    manifest = bundle.path / names.MANIFEST
    before = hashlib.sha256(graph.read_bytes()).hexdigest()
    graph.write_bytes(graph.read_bytes() + b"\x9a\x06\x00")  # an unknown field, which readers skip
    text = manifest.read_text().replace(before, hashlib.sha256(graph.read_bytes()).hexdigest())
    fields = json.loads(text)
    fields["files"][names.BATCH]["size"] += 3
    manifest.write_text(json.dumps(fields))
    again = Bundle.open(bundle.path)
    logits(again, copied=False)
    assert "exported again" in caplog.text and "--serve" in caplog.text
    made, _ = preparing.make(again)  # of the other graph: it cleans up, too
    assert left_in(cache) == {made.folder.name}


def test_damage_is_found_told_and_mended(bundle, copy, caplog):
    expected = logits(bundle, copied=True)
    flip(copy.folder / names.BATCH, 5000)
    np.testing.assert_array_equal(logits(bundle, copied=False), expected)
    assert "batch.onnx changed" in caplog.text and "youtu-onnx prepare" in caplog.text
    assert preparing.make(bundle, graph=names.BATCH)[1]
    flip(copy.folder / names.MODEL_DATA, 5000)
    assert prepared.check(bundle, graph=names.BATCH)[1] == f"{names.MODEL_DATA}: contents changed (SHA-256 differs)"


def test_a_copy_that_computes_something_else_is_not_kept(bundle, cache, monkeypatch):
    spoil(monkeypatch)
    with pytest.raises(VerificationError, match="other logits"):
        preparing.make(bundle, graph=names.BATCH)
    assert left_in(cache) == set()


def test_a_bundle_without_the_graph(bundle, monkeypatch):
    monkeypatch.delitem(bundle.manifest.files, names.BATCH)
    with pytest.raises(UsageError, match=r"no batch\.onnx"):
        preparing.make(bundle, graph=names.BATCH)


def test_the_command(bundle, cache):
    done = run("prepare", bundle.path, "--serve", "--json")
    made = json.loads(done.stdout)
    assert made["made"] and made["graph"] == names.BATCH and made["packed_bytes"] > 0, done.stderr.decode()
    assert json.loads(run("prepare", bundle.path, "--json").stdout)["graph"] == names.MODEL
    checked = json.loads(run("prepare", bundle.path, "--check", "--json").stdout)
    assert checked["passed"] and [copy["graph"] for copy in checked["copies"]] == [names.MODEL, names.BATCH]
    flip(Path(made["folder"]) / names.MODEL_DATA, 5000)
    checked = run("prepare", bundle.path, "--check")
    assert checked.returncode == 3
    assert [line.split()[0] for line in checked.stdout.decode().splitlines()] == ["ok", "FAILED", "make"]
    assert "drop --serve" in failed(run("prepare", bundle.path, "--serve", "--remove"), 2)
    assert len(json.loads(run("prepare", bundle.path, "--remove", "--json").stdout)["removed"]) == 2


HOLD = """
import sys
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.core.bundle import Bundle

model = BatchModel(Bundle.open(sys.argv[1]), threads=1)
cache = model.new_cache()
model.step({}, Chunk(cache, range(100), True))
model.step({0: (cache, 5)})
print(model.prepared is not None, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_share_the_pages(bundle, copy):
    """Nearly all of a copy is mapped by both at once, and neither has written to a page of it."""
    running = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(bundle.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in running] == [b"True\n"] * 2
        for process in running:
            pages = mapped(process.pid, copy.folder / names.MODEL_DATA)
            assert pages["Shared_Clean"] + pages["Shared_Dirty"] > 0.9 * copy.packed
            assert pages["Private_Dirty"] == 0 and pages["Anonymous"] == 0
    finally:
        for process in running:
            process.communicate(timeout=60)


def mapped(pid: int, path: Path) -> dict[str, int]:
    """Bytes of each kind of all mappings of a file."""
    total = dict.fromkeys(("Shared_Clean", "Shared_Dirty", "Private_Dirty", "Anonymous"), 0)
    ours = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = line.endswith(f" {path}")
        elif ours and (name := line.split(":")[0]) in total:
            total[name] += int(line.split()[1]) * 1024
    return total
