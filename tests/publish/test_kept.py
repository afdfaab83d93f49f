"""Kept bundles: made once, found by what they were made of, replaced when that has changed. Exports are copies here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.publish.notes import Notes
from youtu_onnx.core import hub
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError, VerificationError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.target import Target
from youtu_onnx.publish import exporting
from youtu_onnx.publish.exporting import Exported
from youtu_onnx.publish.kept import making, store
from youtu_onnx.publish.kept.making import kept_bundle
from youtu_onnx.publish.kept.named import folder_called, kept_names
from youtu_onnx.publish.kept.origin import Origin
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.runtimes.ort import preparing


@dataclass
class Exports:
    """Stands for exporting: copies a bundle, or fails."""

    bundle: Path
    failure: Exception | None = None
    made: list[Path] = field(default_factory=list)

    def export(self, model: str, output: Path, target: Target, options: ExportOptions, progress: Progress) -> Exported:
        assert options.verify and not options.force
        if self.failure is not None:
            raise self.failure
        shutil.copytree(self.bundle, output)
        self.made.append(output)
        return Exported(Bundle.open(output), None)


@pytest.fixture
def exports(nano_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exports:
    found = Exports(nano_bundle())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(exporting, "export_bundle", found.export)
    monkeypatch.setattr(preparing, "make", lambda bundle, progress: None)
    return found


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(hub.BUILT_IN["youtu-nano"], tmp_path / "模型 one"))


def made(origin: Origin, *, update: bool = False, **options: object) -> tuple[Path, bool]:
    """Folder, and whether it was made now."""
    found = kept_bundle(origin, ExportOptions(**options), Notes(), update=update)  # type: ignore[arg-type]
    return found.folder, found.seconds is not None


def test_the_same_is_found_and_another_precision_is_another(exports: Exports, checkpoint: Path) -> None:
    origin = Origin.of(str(checkpoint))
    first, was_made = made(origin)
    assert was_made and first.name.startswith("模型-one-int4-") and first.parent == store.root()
    assert made(origin) == (first, False) and made(Origin.of(os.path.relpath(checkpoint))) == (first, False)
    other, was_made = made(origin, precision="int8")
    assert was_made and other != first and len(store.all_kept()) == 2


def test_what_was_made_of_a_folder_is_replaced_when_the_folder_has_changed(exports: Exports, checkpoint: Path) -> None:
    first, _ = made(Origin.of(str(checkpoint)))
    os.utime(checkpoint / "config.json", ns=(1, 1))
    second, was_made = made(Origin.of(str(checkpoint)))
    assert was_made and second != first and not first.exists()
    assert [one.folder for one in store.all_kept()] == [second]


def test_the_last_used_comes_first(exports: Exports, checkpoint: Path) -> None:
    first, second = made(Origin.of(str(checkpoint)))[0], made(Origin.of("youtu-nano"))[0]
    for number, folder in enumerate((second, first)):
        os.utime(store.record_of(folder), (number, number))
    assert [one.folder for one in store.all_kept()] == [first, second]
    made(Origin.of("youtu-nano"))
    assert [one.folder for one in store.all_kept()] == [second, first]


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (ResourceError("full", hint="free space, or choose an --output on another disk"), "XDG_CACHE_HOME"),
        (ResourceError("no memory", hint="close other programs"), "close other programs"),
        (VerificationError("differs", hint="--force"), "youtu-onnx export --help"),
        (UsageError("no"), None),
    ],
)
def test_a_failed_export_leaves_nothing(exports: Exports, failure: Exception, hint: str | None) -> None:
    exports.failure = failure
    with pytest.raises(type(failure), match=str(failure).splitlines()[0]) as raised:
        made(Origin.of("youtu-nano"))
    assert hint is None or hint in raised.value.hint  # type: ignore[attr-defined]
    assert list(store.root().iterdir()) == []


def test_a_process_that_ended_after_the_export_has_made_it(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_prepare", killed)
    with pytest.raises(KeyboardInterrupt):
        made(Origin.of("youtu-nano"))
    assert made(Origin.of("youtu-nano")) == (exports.made[0], False)


def test_update_replaces_a_damaged_bundle_and_one_of_another_commit(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    here: tuple[Path, str, str | None] = (hub.BUILT_IN["youtu-nano"], "acme/x", None)
    monkeypatch.setattr(hub, "locate", lambda *_: here)
    origin = Origin.of("acme/x")
    folder, _ = made(origin)
    assert made(origin, update=True) == (folder, False)  # the manifest's commit: None
    (folder / names.TOKENIZER).write_bytes(b"{}")
    with pytest.raises(BundleError, match="damaged") as raised:
        made(origin)
    assert "youtu-onnx run acme/x --update" in str(raised.value.hint)
    assert made(origin, update=True) == (folder, True) and made(origin) == (folder, False)
    here = (here[0], here[1], "0" * 40)
    assert made(origin, update=True) == (folder, True)
    assert [one.folder for one in store.all_kept()] == [folder]
    assert {file.name for file in store.root().iterdir()} == {folder.name, f"{folder.name}.json", f"{folder.name}.lock"}


def test_while_one_is_made_it_can_not_be_removed(exports: Exports) -> None:
    folder, _ = made(Origin.of("youtu-nano"))
    [kept] = store.called("youtu-nano")
    with store.locked(folder, Notes()), pytest.raises(UsageError, match="is being made"):
        store.remove(kept)
    assert store.remove(kept) > 1e6 and store.all_kept() == []


def test_names_by_which_one_is_found(exports: Exports, checkpoint: Path) -> None:
    folder, _ = made(Origin.of(str(checkpoint)))
    for name in (str(checkpoint), os.path.relpath(checkpoint), folder.name, str(folder)):
        assert [one.folder for one in store.called(name)] == [folder]
    with pytest.raises(UsageError, match="no bundle of youtu-nano is kept"):
        store.called("youtu-nano")


def test_commands_find_what_is_kept_by_its_name(exports: Exports, checkpoint: Path, tmp_path: Path) -> None:
    folder, _ = made(Origin.of("youtu-nano"))
    record = store.record_of(folder)
    os.utime(record, (0, 0))
    assert folder_called("youtu-nano") == folder_called(folder.name) == folder_called(str(folder)) == folder
    assert record.stat().st_mtime > 0, "it was used"
    assert folder_called("nothing/such") == Path("nothing/such")
    another, _ = made(Origin.of("youtu-nano"), precision="int8")
    with pytest.raises(UsageError, match="youtu-nano is kept 2 times") as found:
        folder_called("youtu-nano")
    assert found.value.hint and folder.name in found.value.hint and another.name in found.value.hint
    assert folder_called(another.name) == another


def test_a_path_that_is_there_comes_before_a_kept_name(exports: Exports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made(Origin.of("youtu-nano"))
    (tmp_path / "youtu-nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert folder_called("youtu-nano") == Path("youtu-nano")


def test_records_of_others_are_passed_over(exports: Exports) -> None:
    store.root().mkdir(parents=True)
    for number, text in enumerate(("{", "[]", "{}", '{"format": 2}', '{"format": 1, "more": 2}')):
        (store.root() / f"{number}.json").write_text(text)
    assert store.all_kept() == [] and kept_names() == []


def test_a_folder_that_can_not_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="can't keep bundles"):
        made(Origin.of("youtu-nano"))
