"""One bundle, several adapters: each reply is what PEFT writes with the one that was asked for."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import youtu_onnx
from tests.cli.test_commands import without
from tests.cli_process import failed, run
from tests.nano_adapters import greedy, hot_bundle, nano_adapter
from youtu_onnx.chat.model import Model
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import AdapterError, BundleError, UsageError
from youtu_onnx.families.adapters.choice import NamedAdapter
from youtu_onnx.publish.adapters import add_adapters, remove_adapter
from youtu_onnx.runtimes.adapters import UnknownAdapter
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.verify.verify import verify_bundle

PROMPT = "What is 47 + 38?"
LENGTH = 12


class Bundled:
    """A bundle with the adapters shy and loud, and a third one in no bundle; and what PEFT writes with each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peft: dict[str, Any] = {name: nano_adapter(folder, name, seed) for seed, name in enumerate(("shy", "loud", "late"))}
        self.path = hot_bundle(folder)

    def wanted(self, name: str | None, ids: list[int]) -> list[int]:
        if name is not None:
            return greedy(self.peft[name], ids, LENGTH)
        with self.peft["shy"].disable_adapter():
            return greedy(self.peft["shy"], ids, LENGTH)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    return Bundled(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module", params=["ort", "genai"])
def model(bundled: Bundled, request: pytest.FixtureRequest) -> Iterator[Model]:
    if request.param == "genai":
        pytest.importorskip("onnxruntime_genai")
    with youtu_onnx.load(bundled.path, runtime=request.param) as opened:
        opened.eos_ids = ()
        yield opened


def reply(model: Model, adapter: str | None = None) -> list[int]:
    return model.generate(PROMPT, raw=True, max_tokens=LENGTH, greedy=True, adapter=adapter).token_ids


def test_every_adapter_writes_as_it_does_with_peft(model: Model, bundled: Bundled) -> None:
    ids = model.tokenizer.encode(PROMPT, frame=True)
    wanted = {name: bundled.wanted(name, ids) for name in (None, "shy", "loud")}
    assert len({tuple(one) for one in wanted.values()}) == 3, "they write the same"
    assert model.adapters == ("loud", "shy")
    for name in ("shy", None, "loud", "shy", None):  # what one left in the cache is of no use to the next
        assert reply(model, name) == wanted[name], name
    assert reply(model, "base") == wanted[None]


def test_a_default_adapter(model: Model, bundled: Bundled) -> None:
    ids = model.tokenizer.encode(PROMPT, frame=True)
    model.adapter = "loud"
    try:
        assert reply(model) == bundled.wanted("loud", ids)
        assert reply(model, "base") == bundled.wanted(None, ids)
    finally:
        model.adapter = None


def test_adapters_come_and_go_while_it_runs(model: Model, bundled: Bundled) -> None:
    ids = model.tokenizer.encode(PROMPT, frame=True)
    with pytest.raises(UnknownAdapter, match="no adapter 'late': there are loud, shy"):
        reply(model, "late")
    model.load_adapter("late", bundled.folder / "late")
    assert model.adapters == ("late", "loud", "shy")
    assert reply(model, "late") == bundled.wanted("late", ids)
    model.load_adapter("late", bundled.folder / "shy")
    assert reply(model, "late") == bundled.wanted("shy", ids), "the name is another adapter's now"
    model.unload_adapter("late")
    with pytest.raises(UnknownAdapter):
        reply(model, "late")
    with pytest.raises(UnknownAdapter):
        model.unload_adapter("late")
    assert reply(model) == bundled.wanted(None, ids)


def test_unloading_frees(bundled: Bundled) -> None:
    with youtu_onnx.load(bundled.path) as model:
        model.load_adapter("late", bundled.folder / "late")
        reply(model, "late")
        assert isinstance(model.decoder, OrtDecoder) and model.decoder.adapters is not None
        held = weakref.ref(model.decoder.adapters.active("late"))
        model.unload_adapter("late")
        gc.collect()
        assert held() is None


def test_loaded_by_name_or_folder(bundled: Bundled) -> None:
    for given, name in (
        ("shy", "shy"),
        (bundled.folder / "late", "late"),
        (bundled.path / "adapters" / "loud.onnx_adapter", "loud"),
    ):
        with youtu_onnx.load(bundled.path, adapter=given) as model:
            model.eos_ids = ()
            assert model.adapter == name
            assert reply(model) == bundled.wanted(name, model.tokenizer.encode(PROMPT, frame=True))
    with pytest.raises(UnknownAdapter, match="no adapter 'nobody'"):
        youtu_onnx.load(bundled.path, adapter="nobody")


def test_a_bundle_gets_more_adapters_without_an_export(bundled: Bundled, tmp_path: Path) -> None:
    shutil.copytree(bundled.path, tmp_path / "copy")
    [made] = add_adapters(tmp_path / "copy", (NamedAdapter("later", bundled.folder / "late"),))
    assert [one.name for one in made.manifest.adapters or ()] == ["later", "loud", "shy"]
    assert verify_bundle(tmp_path / "copy").passed, "every byte is listed"
    with youtu_onnx.load(tmp_path / "copy", adapter="later") as model:
        model.eos_ids = ()
        assert reply(model) == bundled.wanted("late", model.tokenizer.encode(PROMPT, frame=True))
    remove_adapter(tmp_path / "copy", "later")
    assert Bundle.open(tmp_path / "copy", hash_limit=None).manifest == Bundle.open(bundled.path).manifest
    with pytest.raises(UnknownAdapter):
        remove_adapter(tmp_path / "copy", "later")
    with pytest.raises(UsageError, match="would be one file"):
        add_adapters(tmp_path / "copy", (NamedAdapter("SHY", bundled.folder / "shy"),))


def test_the_commands(bundled: Bundled, tmp_path: Path) -> None:
    shutil.copytree(bundled.path, tmp_path / "copy")
    assert run("adapter", tmp_path / "copy", "--add", f"later={bundled.folder / 'late'}").returncode == 0
    assert b'"later"' in run("adapter", tmp_path / "copy", "--json").stdout
    said = [
        run("generate", tmp_path / "copy", "-p", PROMPT, "--greedy", "--max-tokens", "12", *more).stdout
        for more in ((), ("--adapter", "shy"), ("--adapter", "later"), ("--adapter", bundled.folder / "late"))
    ]
    assert len(set(said)) == 3 and said[2] == said[3]
    bare = without("torch", "transformers", "onnx", "onnx_ir")
    assert run("adapter", tmp_path / "copy", "--add", f"again={bundled.folder / 'late'}", program=bare).returncode == 0
    done = run("generate", tmp_path / "copy", "-p", PROMPT, "--greedy", "--max-tokens", "12", "--adapter", "again", program=bare)
    assert done.stdout == said[2], "a machine that only runs bundles needs no PyTorch for it"
    assert "no adapter 'nobody'" in failed(run("generate", tmp_path / "copy", "-p", "x", "--adapter", "nobody"), 2)


def test_a_bundle_that_takes_none(nano_bundle: Any, bundled: Bundled) -> None:
    with youtu_onnx.load(nano_bundle()) as model:
        assert model.adapters == () and reply(model, "base")
        for refused in (lambda: reply(model, "shy"), lambda: model.load_adapter("shy", bundled.folder / "shy")):
            with pytest.raises(UsageError, match="takes no adapters"):
                refused()
    with pytest.raises(UsageError, match="takes no adapters"):
        add_adapters(nano_bundle(), (NamedAdapter("shy", bundled.folder / "shy"),))


def test_a_changed_file_is_refused(bundled: Bundled, tmp_path: Path) -> None:
    shutil.copytree(bundled.path, tmp_path / "copy")
    file = tmp_path / "copy" / "adapters" / "shy.onnx_adapter"
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(BundleError, match=r"shy\.onnx_adapter: contents changed"):
        youtu_onnx.load(tmp_path / "copy")
    with youtu_onnx.load(bundled.path) as model, pytest.raises(AdapterError, match="no file in ONNX Runtime's adapter format"):
        model.load_adapter("x", file)
