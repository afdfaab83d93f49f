"""Folders of several bundles: which one is opened, what is refused, and equal files lying on the disk once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_process import run
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.bundle.variants import share_equal_files
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.publish.several import export_several
from youtu_onnx.runtimes.providers.providers import variant_for


@pytest.fixture
def folder(tmp_path: Path, nano_bundle: Callable[..., Path]) -> Path:
    """Two variants whose names are targets', whatever is in them."""
    for target, precision in (("dml", "fp16"), ("cpu", "int4")):
        shutil.copytree(nano_bundle(precision), tmp_path / target)
    written(tmp_path, variants=["dml", "cpu"])
    return tmp_path


def written(folder: Path, **fields: object) -> None:
    (folder / names.VARIANTS).write_text(json.dumps({"format_version": 1, "variants": ["cpu"]} | fields), encoding="utf-8")


class TestChoosing:
    def test_the_cpu_is_taken_where_nothing_says_which(self, folder: Path):
        assert Bundle.open(folder).path == folder / "cpu"
        assert Bundle.open(folder).manifest.recipe.precision == "int4"

    def test_a_target_chooses(self, folder: Path):
        assert Bundle.open(folder, target="dml").manifest.recipe.precision == "fp16"

    def test_the_first_is_taken_where_there_is_none_for_the_cpu(self, folder: Path):
        written(folder, variants=["dml"])
        assert Bundle.open(folder).path == folder / "dml"

    def test_a_target_that_is_not_there_is_named_with_those_that_are(self, folder: Path):
        with pytest.raises(UsageError, match="no bundle for cuda; it has: dml, cpu") as caught:
            Bundle.open(folder, target="cuda")
        assert "--target dml,cpu,cuda" in str(caught.value.hint)

    def test_each_is_a_bundle_of_its_own(self, folder: Path, tmp_path_factory: pytest.TempPathFactory):
        moved = tmp_path_factory.mktemp("elsewhere") / "bundle"
        (folder / "cpu").rename(moved)
        assert Bundle.open(moved, target="dml").manifest.recipe.precision == "int4", "alone it is opened whatever is asked for"
        with pytest.raises(BundleError, match="nothing is there"):
            Bundle.open(folder)


class TestLists:
    @pytest.mark.parametrize("wrong", ["../cpu", "/etc", "a/b", "", "..", "c:\\x", 5])
    def test_names_that_lead_out_are_refused(self, folder: Path, wrong: object):
        written(folder, variants=["cpu", wrong])
        with pytest.raises(BundleError, match="outside of its own"):
            Bundle.open(folder)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 1, "variants": 5}', '{"format_version": 1}'])
    def test_damaged_lists_are_refused(self, folder: Path, text: str):
        (folder / names.VARIANTS).write_text(text, encoding="utf-8")
        with pytest.raises(BundleError, match="no list of variants"):
            Bundle.open(folder)

    def test_newer_formats_and_empty_lists_are_refused(self, folder: Path):
        written(folder, format_version=2)
        with pytest.raises(BundleError, match="format version 2"):
            Bundle.open(folder)
        written(folder, variants=[])
        with pytest.raises(BundleError, match="names no variants"):
            Bundle.open(folder)


class TestSharing:
    def test_equal_files_lie_on_the_disk_once(self, folder: Path):
        before = {path: path.read_bytes() for path in folder.glob("*/*")}
        saved = share_equal_files([folder / "dml", folder / "cpu"])
        tokenizer = folder / "cpu" / names.TOKENIZER
        assert tokenizer.samefile(folder / "dml" / names.TOKENIZER)
        assert saved >= tokenizer.stat().st_size
        assert not (folder / "cpu" / names.MODEL_DATA).samefile(folder / "dml" / names.MODEL_DATA)
        assert {path: path.read_bytes() for path in folder.glob("*/*")} == before
        for target in ("dml", "cpu"):
            Bundle.open(folder, target=target, hash_limit=None)

    def test_where_there_are_no_hard_links_copies_stay(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        def refuse(*_: object) -> None:
            raise OSError("no links here")

        monkeypatch.setattr("os.link", refuse)
        assert share_equal_files([folder / "dml", folder / "cpu"]) == 0
        assert not (folder / "cpu" / names.TOKENIZER).samefile(folder / "dml" / names.TOKENIZER)
        assert not list(folder.glob("*/.*"))


def test_several_targets_become_one_folder(tmp_path: Path):
    folder = tmp_path / "nano"
    done = run(
        "export",
        "-m",
        "youtu-nano",
        "-o",
        str(folder),
        "-p",
        "fp16",
        "-e",
        "cuda,dml",
        "--max-length",
        "256",
        "--no-verify",
        "--json",
        program=("-m", "tests.keeping_cli"),
    )
    made = json.loads(done.stdout)["bundles"]
    assert [Path(one["bundle"]) for one in made] == [folder / "cuda", folder / "dml"]
    assert {path.name for path in folder.iterdir()} == {"cuda", "dml", names.VARIANTS}
    assert (folder / "cuda" / names.TOKENIZER).samefile(folder / "dml" / names.TOKENIZER)
    assert Bundle.open(folder).manifest.target == "cuda"
    assert Bundle.open(folder, target="dml").manifest.cache.length == 256
    with pytest.raises(UsageError, match="already holds"):
        export_several("youtu-nano", folder, ["cpu"], ExportOptions(precision="fp16", verify=False))


@pytest.mark.parametrize(("targets", "message"), [(["cpu", "cpu"], "named twice"), (["cpu", "mars"], "unknown target 'mars'")])
def test_impossible_lists_are_refused_before_anything_is_done(tmp_path: Path, targets: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        export_several("youtu-nano", tmp_path / "nano", targets, ExportOptions(verify=False))
    assert not list(tmp_path.iterdir())


def test_a_provider_takes_its_own_variant():
    assert variant_for(None) is None
    assert variant_for("DirectML") == "dml"
    assert variant_for("openvino") is None
