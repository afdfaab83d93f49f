"""``youtu-onnx prepare`` as a user meets it: a process of its own, on youtu-nano."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_process import ROOT, failed, run

GENERATE = ("--prompt", "What is 47 + 38?", "--greedy", "--max-tokens", "8", "--json")


@pytest.fixture
def bundle(nano_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return nano_bundle("int4")


def prepare(*args: str | Path) -> dict:
    done = run("prepare", *args, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_make_use_check_remove(bundle: Path) -> None:
    without = run("generate", bundle, *GENERATE)
    done = run("prepare", bundle)
    assert done.returncode == 0 and b"packing weights" in done.stderr
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == ["prepared", "size", "saves", "opens"]
    made = prepare(bundle)
    assert not made["made"] and made["bytes"] > made["packed_bytes"] > 0 and made["load_seconds"].keys() == {"bundle", "prepared"}
    assert b"there already" in run("prepare", bundle).stdout
    used = run("generate", bundle, *GENERATE)
    assert used.stdout == without.stdout and used.stderr == without.stderr
    assert prepare(bundle, "--check")["passed"]
    assert prepare(bundle, "--remove")["removed"] == [made["folder"]]
    assert prepare(bundle, "--remove")["removed"] == [] and not Path(made["folder"]).exists()


def test_native_writes_a_graph_for_other_programs(bundle: Path, tmp_path: Path) -> None:
    """Whole or not at all, as often as one asks; it runs what it is told with the bundle's weights, and needs no library here."""
    copied = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    first = prepare(copied, "--native")
    assert Path(first["graph"]) == copied / "native.onnx"
    assert first["operators"]["Linear"] > first["operators"]["LatentAttention"] > 1
    content = (copied / "native.onnx").read_bytes()
    assert prepare(copied, "--native") == first and (copied / "native.onnx").read_bytes() == content
    assert not [file for file in copied.iterdir() if file.name.startswith(".")]
    assert run("generate", copied, *GENERATE).stdout == run("generate", bundle, *GENERATE).stdout
    lines = run("prepare", copied, "--native").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["graph", "library"]


def test_native_refuses_what_it_can_not_do(bundle: Path, nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    assert "pass it alone" in failed(run("prepare", bundle, "--native", "--serve"), 2)
    assert "--precision int4 or int8" in failed(run("prepare", nano_bundle("fp32"), "--native"), 2)
    (blocked := tmp_path / "blocked").mkdir()
    for file in bundle.iterdir():
        (blocked / file.name).symlink_to(file)
    (blocked / "native.onnx").mkdir()
    assert "native.onnx can't be written" in failed(run("prepare", blocked, "--native"), 1)


def test_damage_is_told_on_stderr_and_the_reply_is_right(bundle: Path) -> None:
    expected = json.loads(run("generate", bundle, *GENERATE).stdout)["text"]
    data = Path(prepare(bundle)["folder"]) / "model.onnx.data"
    data.touch()
    done = run("generate", bundle, *GENERATE)
    assert json.loads(done.stdout)["text"] == expected
    text = done.stderr.decode()
    assert "isn't used" in text and "youtu-onnx prepare" in text and len(text.splitlines()) == 1
    checked = run("prepare", bundle, "--check")
    assert checked.returncode == 3 and checked.stdout.startswith(b"FAILED")
    assert prepare(bundle)["made"]


def test_wrong_usage(bundle: Path, tmp_path: Path) -> None:
    assert "two things" in failed(run("prepare", bundle, "--check", "--remove"), 2)
    assert "no prepared copy" in failed(run("prepare", bundle, "--check"), 2)
    assert "no bundle" in failed(run("prepare", tmp_path / "none"), 1)
    (tmp_path / "file").write_text("")
    assert "XDG_CACHE_HOME" in failed(run("prepare", bundle, XDG_CACHE_HOME=str(tmp_path / "file")), 1)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_moment(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "youtu_onnx.cli", "prepare", str(bundle), "--json"]
    cache = tmp_path / "cache" / "youtu-onnx" / "prepared"
    for extra in (0.0, 0.03, 0.06, 0.1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        deadline = time.monotonic() + 60
        while not (cache.exists() and any(cache.glob("*.partial"))) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(extra)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if whole := [path for path in cache.iterdir() if path.suffix == "" and path.name != ".lock"]:
            assert prepare(bundle, "--check")["passed"]
            shutil.rmtree(whole[0])
    assert prepare(bundle)["made"]
    assert len([path for path in cache.iterdir() if path.name != ".lock"]) == 1
