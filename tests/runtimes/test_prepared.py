"""A prepared copy computes what its bundle computes, or it isn't used and somebody is told."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.cli_process import ROOT
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, ResourceError, VerificationError
from youtu_onnx.runtimes.ort import packing, prepared, preparing
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.prepared_folder import LOCK, PARTIAL, RECORD, cache_folder
from youtu_onnx.runtimes.ort.prepared_key import files_of
from youtu_onnx.runtimes.ort.session import open_graph
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.providers import provider

POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and modes as POSIX has them")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies go; it doesn't exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(prepared.VARIABLE, raising=False)
    return tmp_path / "cache" / "youtu-onnx" / "prepared"


@pytest.fixture
def bundle(nano_bundle: Callable[..., Path], tmp_path: Path) -> Bundle:
    """One's own copy of the bundle, in a folder with an awkward name."""
    shutil.copytree(nano_bundle("int4"), tmp_path / "José 模型")
    return Bundle.open(tmp_path / "José 模型")


@pytest.fixture
def copy(bundle: Bundle) -> prepared.Prepared:
    return preparing.make(bundle)[0]


def logits(bundle: Bundle, *, copied: bool) -> np.ndarray:
    """Of a short prompt and the step after it; from a prepared copy or not, as is claimed."""
    model = OrtModel(bundle, "cpu", threads=1)
    assert (model.prepared is not None) == copied
    ids = np.array([[3, 141, 59, 26]])
    first, past = model.run(ids, np.ones_like(ids), np.arange(4)[None])
    second, _ = model.run(np.array([[53]]), np.ones((1, 5), int), np.array([[4]]), past)
    return np.concatenate([first, second], 1)


def left_in(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()} - {LOCK}


@pytest.mark.parametrize(("precision", "form"), [("int4", "latent"), ("int4", "latent-int8"), ("fp32", "latent")])
def test_the_copy_is_used_by_itself_and_computes_the_same(nano_bundle, precision, form):
    bundle = Bundle.open(nano_bundle(precision, form))
    own = logits(bundle, copied=False)
    made, new = preparing.make(bundle)
    assert new and made.packed > 0.5 * bundle.manifest.files[names.MODEL_DATA].size
    np.testing.assert_array_equal(logits(bundle, copied=True), own)
    assert preparing.make(bundle) == (made, False)


def test_the_bundle_is_not_written_to(bundle, cache):
    def state() -> dict[str, tuple]:
        return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in [bundle.path, *bundle.path.iterdir()]}

    before = state()
    bundle.path.chmod(0o500)
    made, _ = preparing.make(bundle)
    logits(bundle, copied=True)
    bundle.path.chmod(0o700)
    assert state() == before
    assert left_in(cache) == {made.folder.name}
    assert {path.name for path in made.folder.iterdir()} == {RECORD, *files_of(names.MODEL)}


def test_it_can_be_switched_off(bundle, copy, monkeypatch, caplog):
    monkeypatch.setenv(prepared.VARIABLE, "0")
    logits(bundle, copied=False)
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_only_the_cpu_provider_looks_for_it(bundle, monkeypatch):
    looked: list[Bundle] = []
    with suppress(Exception):  # where there is no such provider, or one that doesn't take this bundle
        open_graph(bundle, names.MODEL, provider("webgpu"), 1, ProviderOptions(), looked.append)
    assert looked == []
    open_graph(bundle, names.MODEL, provider("cpu"), 1, ProviderOptions(), looked.append)
    assert looked == [bundle]


def test_a_bundle_exported_anew_in_place(nano_bundle, bundle, copy, cache, caplog):
    shutil.rmtree(bundle.path)
    shutil.copytree(nano_bundle("int8"), bundle.path)
    again = Bundle.open(bundle.path)
    int8 = logits(again, copied=False)
    assert "exported again" in caplog.text
    made, new = preparing.make(again)
    assert new and left_in(cache) == {made.folder.name} != {copy.folder.name}
    np.testing.assert_array_equal(logits(again, copied=True), int8)


def test_weights_rewritten_under_the_same_manifest(bundle, copy, caplog):
    """Opening a bundle doesn't hash gigabytes; the time of writing tells."""
    data = bundle.file(names.MODEL_DATA)
    data.write_bytes(data.read_bytes())
    os.utime(data, ns=(1, 1))
    logits(bundle, copied=False)
    assert "bundle's files changed" in caplog.text
    assert preparing.make(bundle)[1]
    logits(bundle, copied=True)


def test_a_bundle_rewritten_while_it_is_prepared(bundle, cache, monkeypatch):
    write = preparing.write_packed

    def slow(staging: Path, bundle: Bundle, graph: str) -> None:
        write(staging, bundle, graph)
        os.utime(bundle.file(names.MODEL_DATA), ns=(1, 1))

    monkeypatch.setattr(preparing, "write_packed", slow)
    with pytest.raises(BundleError, match="while its copy was made"):
        preparing.make(bundle)
    assert left_in(cache) == set()


def test_another_onnxruntime_or_processor(bundle, copy, cache, monkeypatch, caplog):
    with monkeypatch.context() as other:
        other.setattr(
            "youtu_onnx.runtimes.ort.prepared_key._cpu", lambda: "another processor"
        )  # one home folder, several machines
        logits(bundle, copied=False)
        assert not caplog.records
        assert preparing.make(bundle)[1] and len(left_in(cache)) == 2  # neither removes the other's
    monkeypatch.setattr(ort, "__version__", "99.0")
    logits(bundle, copied=False)
    assert "this is 99.0" in caplog.text
    made, _ = preparing.make(bundle)
    assert made.folder.name in left_in(cache) and copy.folder.name not in left_in(cache)


def truncate(path: Path, size: int) -> None:
    """With the old times, as a disk that loses bytes does it."""
    times = path.stat()
    os.truncate(path, size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flip(path: Path, offset: int, count: int = 64) -> None:
    """As :func:`truncate`, but of the same size."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(byte ^ 0x55 for byte in content[offset : offset + count])
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def packed_offset(graph: Path) -> int:
    places = packing.PACKED.search(graph.read_bytes())
    return int(places[1].split(b"|")[1].split(b";")[0])


DAMAGE = {
    "no weights": lambda f: (f / names.MODEL_DATA).unlink(),
    "no graph": lambda f: (f / names.MODEL).unlink(),
    "no record": lambda f: (f / RECORD).unlink(),
    "short weights": lambda f: truncate(f / names.MODEL_DATA, 1000),
    "a byte less": lambda f: truncate(f / names.MODEL_DATA, (f / names.MODEL_DATA).stat().st_size - 1),
    "changed graph": lambda f: flip(f / names.MODEL, 5000),
    "packed weights": lambda f: flip(f / names.MODEL_DATA, packed_offset(f / names.MODEL)),  # ONNX Runtime finds this
    "written to": lambda f: (f / names.MODEL_DATA).touch(),
    "record: no JSON": lambda f: (f / RECORD).write_text("{"),
    "record: a list": lambda f: (f / RECORD).write_text("[]"),
    "record: from the future": lambda f: (f / RECORD).write_text('{"format_version": 99}'),
    "record: wrong types": lambda f: (f / RECORD).write_text(
        json.dumps(dict.fromkeys(json.loads((f / RECORD).read_text()), 3) | {"format_version": 1})
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_copy_is_told_about_and_not_used(bundle, copy, cache, caplog, kind):
    expected = logits(bundle, copied=True)
    DAMAGE[kind](copy.folder)
    np.testing.assert_array_equal(logits(bundle, copied=False), expected)
    assert "isn't used" in caplog.text and "youtu-onnx prepare" in caplog.text
    if kind == "no record":  # nothing says whose it is
        with pytest.raises(ResourceError, match="not from youtu-onnx"):
            preparing.make(bundle)
    else:
        assert preparing.make(bundle)[1]
        np.testing.assert_array_equal(logits(bundle, copied=True), expected)


def test_damage_that_only_hashing_finds(bundle, copy):
    assert prepared.check(bundle) == (copy.folder, None)
    flip(copy.folder / names.MODEL_DATA, 5000)
    folder, fault = prepared.check(bundle)
    assert folder == copy.folder and fault == f"{names.MODEL_DATA}: contents changed (SHA-256 differs)"


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies get other weights than their bundles."""
    write = preparing.write_packed

    def wrong(staging: Path, bundle: Bundle, graph: str) -> None:
        write(staging, bundle, graph)
        content = bytearray((staging / names.MODEL_DATA).read_bytes())
        content[:1024] = np.full(256, 3, np.float32).tobytes()  # the first norm
        (staging / names.MODEL_DATA).write_bytes(content)

    monkeypatch.setattr(preparing, "write_packed", wrong)


def test_a_copy_that_computes_something_else_is_not_kept(bundle, cache, monkeypatch):
    spoil(monkeypatch)
    with pytest.raises(VerificationError, match="other logits"):
        preparing.make(bundle)
    assert left_in(cache) == set()


@POSIX
@pytest.mark.parametrize("what", ["root", "folder", RECORD, *files_of(names.MODEL)])
@pytest.mark.parametrize("how", ["writable", "foreign"])
def test_what_others_could_have_written_is_not_trusted(bundle, copy, cache, caplog, what, how):
    if how == "foreign" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    path = {"root": cache, "folder": copy.folder}.get(what, copy.folder / what)
    if how == "foreign":
        os.chown(path, 12345, -1)
    else:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWGRP)
    logits(bundle, copied=False)
    assert ("another user" if how == "foreign" else "by other users") in caplog.text


@POSIX
def test_the_cache_is_the_users_alone(bundle, cache, monkeypatch):
    before = os.umask(0o002)  # as many systems have it
    try:
        made, _ = preparing.make(bundle)
    finally:
        os.umask(before)
    for path in (cache.parent, cache, made.folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.folder.iterdir()} == {0o600}
    logits(bundle, copied=True)
    cache.chmod(0o770)
    with pytest.raises(ResourceError, match="chmod 700"):
        preparing.make(bundle)


@POSIX
def test_links_are_not_followed(bundle, copy, cache, tmp_path, caplog):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(copy.folder, elsewhere)
    copy.folder.symlink_to(elsewhere)
    (cache / ("a" * 32)).symlink_to(tmp_path)
    (cache / ("b" * 32 + PARTIAL)).symlink_to(elsewhere)
    logits(bundle, copied=False)
    assert "not a plain file or folder" in caplog.text
    with pytest.raises(ResourceError, match="in the way"):
        preparing.make(bundle)
    assert preparing.remove(bundle.path) == []
    assert {path.name for path in elsewhere.iterdir()} == {RECORD, *files_of(names.MODEL)}


def test_cleaning_up_touches_only_our_own(bundle, copy, cache, nano_bundle):
    (cache / "holiday").mkdir()
    for name, file in (("c" * 32, "photo.jpg"), ("d" * 32, RECORD)):
        (cache / name).mkdir()
        (cache / name / file).write_text("{}")
    (cache / ("d" * 32) / "photo.jpg").write_text("precious")
    (cache / ("e" * 32 + PARTIAL)).mkdir()
    foreign = {"holiday", "c" * 32, "d" * 32}
    shutil.rmtree(bundle.path)
    other, _ = preparing.make(Bundle.open(nano_bundle("int8")))
    assert left_in(cache) == foreign | {other.folder.name}
    assert preparing.remove(other.key["bundle"]) == [other.folder] and left_in(cache) == foreign


def test_a_copy_goes_though_its_bundle_went_first(bundle, copy, cache):
    shutil.rmtree(bundle.path)
    assert preparing.remove(bundle.path) == [copy.folder] and left_in(cache) == set()
    assert preparing.remove(bundle.path) == []


def test_too_little_room(bundle, cache, monkeypatch):
    usage = shutil.disk_usage(bundle.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4_000_000))
    with pytest.raises(ResourceError, match=r"0\.00 GB free") as caught:
        preparing.make(bundle)
    assert "XDG_CACHE_HOME" in caught.value.hint and left_in(cache) == set()


def test_the_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache" / "youtu-onnx" / "prepared"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    for platform, where in (("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == tmp_path / where / "youtu-onnx" / "prepared"


def test_a_cache_folder_that_cannot_be(bundle, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    logits(bundle, copied=False)
    with pytest.raises(ResourceError, match="can't keep"):
        preparing.make(bundle)


# Run in processes of their own: one that forks must not have computed with ONNX Runtime before.

DEATHS = """
import os, sys
from pathlib import Path
from youtu_onnx.runtimes.ort import prepared, preparing
from youtu_onnx.runtimes.ort.prepared_folder import LOCK, cache_folder
from youtu_onnx.runtimes.ort.prepared_key import name_of
from tests.core.test_staging import die_at
from youtu_onnx.core.bundle import Bundle

bundle, cache = Bundle.open(sys.argv[1]), cache_folder()
for step in range(1, 100):
    child = os.fork()
    if child == 0:
        die_at(step)
        try:
            preparing.make(bundle)
            os._exit(0)
        finally:
            os._exit(1)
    finished = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    names = sorted(path.name for path in cache.iterdir() if path.name != LOCK) if cache.exists() else []
    whole = prepared.find(bundle) is not None
    assert whole == any(name == name_of(bundle) for name in names), (step, names)
    assert len(names) <= 1, names
    if finished:
        break
    if whole:
        preparing.remove(bundle.path)
print(step, names == [name_of(bundle)])
"""

LIMITED = """
import resource, sys
from youtu_onnx.runtimes.ort import preparing
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import ResourceError

bundle = Bundle.open(sys.argv[1])
for limit in (5_000, 60_000, 1_000_000, 3_500_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        preparing.make(bundle)
    except ResourceError as error:
        print(limit, error.message[:60])
"""


def program(code: str, *args: str | Path) -> str:
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_death_at_every_step(bundle, cache):
    steps, whole = program(DEATHS, bundle.path).split()
    assert int(steps) > 8 and whole == "True"
    logits(bundle, copied=True)


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_full_disk(bundle, cache):
    """Files can't grow beyond a limit, wherever that is; nothing is left and nothing is used."""
    assert len(program(LIMITED, bundle.path).splitlines()) == 4
    assert left_in(cache) == set()
    logits(bundle, copied=False)


def test_two_at_once(bundle, cache) -> None:
    command = [sys.executable, "-m", "youtu_onnx.cli", "prepare", str(bundle.path), "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    made = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert sorted(one["made"] for one in made) == [False, True]
    assert left_in(cache) == {Path(made[0]["folder"]).name}
    logits(bundle, copied=True)
