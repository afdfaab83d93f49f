"""A model that is opened: turns, defaults, what is refused, and the package itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import youtu_onnx
from tests.chat.scripted import NANO, TOKENIZER, Scripted
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.opening import load
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.text import ChatTemplate, Tokenizer


@pytest.fixture(scope="module")
def model(nano_bundle: Callable[..., Path]) -> Iterator[Model]:
    with youtu_onnx.load(nano_bundle("fp32")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    if "model" in request.fixturenames:
        request.getfixturevalue("model").reset()


def test_a_prompt_is_a_users_message(model: Model) -> None:
    by_text = model.generate("Hello", max_tokens=20)
    assert by_text.text == model.generate([{"role": "user", "content": "Hello"}], max_tokens=20).text
    assert by_text.usage.prompt_tokens == len(model.template.encode_chat([{"role": "user", "content": "Hello"}]))
    assert model.generate("Hello", max_tokens=20, raw=True).usage.prompt_tokens == len(TOKENIZER.encode("Hello", frame=True))


def test_streamed_pieces_are_the_text(model: Model) -> None:
    stream = model.stream("Hello", max_tokens=30)
    assert "".join(stream) == stream.result.text == model.generate("Hello", max_tokens=30).text


def test_turns_reuse_the_cache_and_equal_fresh_ones(model: Model) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    first = model.generate(messages, max_tokens=24, enable_thinking=False)
    messages += [{"role": "assistant", "content": first.answer}, {"role": "user", "content": "And 2+3?"}]
    second = model.generate(messages, max_tokens=24, enable_thinking=False)
    assert second.timing.reused_tokens >= 3
    model.reset()
    fresh = model.generate(messages, max_tokens=24, enable_thinking=False)
    assert fresh.timing.reused_tokens == 0
    assert second.token_ids == fresh.token_ids


def test_a_new_reply_cancels_an_unfinished_one(model: Model) -> None:
    first = model.stream("Tell me about numbers", max_tokens=50, temperature=1.0, seed=1)
    next(first)
    second = model.generate("Hello", max_tokens=5)
    assert first.result.finish_reason == "cancelled"
    model.reset()
    assert model.generate("Hello", max_tokens=5).token_ids == second.token_ids


def test_both_runtimes_say_the_same(model: Model, nano_bundle: Callable[..., Path]) -> None:
    pytest.importorskip("onnxruntime_genai")
    with youtu_onnx.load(nano_bundle("fp32"), runtime="genai") as other:
        for prompt in ("Hello", "你好"):
            assert other.generate(prompt, max_tokens=24).token_ids == model.generate(prompt, max_tokens=24).token_ids


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [
        ("", {}),
        (" \n", {}),
        ("", {"raw": True}),
        ([], {}),
        ([{"role": "user", "content": "x"}], {"raw": True}),
        ("x", {"raw": True, "enable_thinking": True}),
        ("x", {"raw": True, "tools": []}),
        ("x", {"temperature": -1}),
        ("x", {"top_p": 2}),
        ("x", {"greedy": True, "top_k": 3}),
        ("x", {"max_tokens": 0}),
        ("x " * 2000, {}),
    ],
)
def test_requests_that_make_no_sense(model: Model, prompt: Any, choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        model.stream(prompt, **choices)


def edited(nano_bundle: Callable[..., Path], folder: Path, **files: str | None) -> Bundle:
    """A copy of the bundle with other small files; the manifest's hashes are not looked at again."""
    shutil.copytree(nano_bundle("fp32"), folder)
    for name, text in files.items():
        path = folder / getattr(names, name)
        path.unlink() if text is None else path.write_text(text)
    return Bundle(folder, Bundle.open(nano_bundle("fp32")).manifest)


def test_where_defaults_come_from(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    def model_of(name: str, config: str | None) -> Model:
        return Model(edited(nano_bundle, tmp_path / name, GENERATION_CONFIG=config), TOKENIZER, None, Scripted("x"))

    listed = model_of("listed", '{"eos_token_id": [1, 7], "do_sample": true, "top_k": 20, "max_new_tokens": 9}')
    assert (listed.eos_ids, listed.max_tokens, listed.sampling) == ((1, 7), 9, Sampling(top_k=20))
    assert model_of("one", '{"eos_token_id": 7}').eos_ids == (7,)
    bare = model_of("bare", None)
    assert (bare.eos_ids, bare.max_tokens, bare.sampling.greedy) == ((1,), 1024, True)
    for name, broken in (("a", '{"eos_token_id": "x"}'), ("b", '{"top_p": 7}'), ("c", "[")):
        with pytest.raises(BundleError, match="generation_config"):
            model_of(name, broken)


@pytest.mark.parametrize(
    "text",
    [
        '{"temperature": -1}',
        '{"temperature": NaN}',
        '{"do_sample": "yes"}',
        '{"top_k": 1.5}',
        '{"repetition_penalty": 0}',
        '{"max_new_tokens": 0}',
        '{"eos_token_id": [true]}',
        '{"eos_token_id": {"a": 1}}',
        "null",
        "\ufeff{}",
        "[" * 10**5,
    ],
    ids=lambda text: str(text)[:30],
)
def test_a_generation_config_that_was_edited_by_hand(nano_bundle: Callable[..., Path], tmp_path: Path, text: str) -> None:
    bundle = edited(nano_bundle, tmp_path / "edited", GENERATION_CONFIG=text)
    with pytest.raises(BundleError, match="generation_config"):
        Model(bundle, TOKENIZER, None, Scripted("x"))


@pytest.mark.parametrize(("listed", "ends"), [("[1, 128009]", (1,)), ("[-1, 1280]", ()), ("128009", ()), ("[]", ())])
def test_ids_that_the_vocabulary_does_not_have_end_no_reply(
    nano_bundle: Callable[..., Path], tmp_path: Path, listed: str, ends: tuple[int, ...]
) -> None:
    """Exports refuse them now; bundles of before have some."""
    bundle = edited(nano_bundle, tmp_path / "edited", GENERATION_CONFIG=f'{{"eos_token_id": {listed}}}')
    assert Model(bundle, TOKENIZER, None, Scripted("x")).eos_ids == ends


def test_a_base_model_without_template_generates_raw_only(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = edited(nano_bundle, tmp_path / "base", CHAT_TEMPLATE=None, TOKENIZER_CONFIG="{}")
    template = ChatTemplate.open(bundle.path, TOKENIZER)
    assert template is None
    base = Model(bundle, TOKENIZER, template, Scripted("x"))
    with pytest.raises(UsageError, match="no chat template"):
        base.generate("Hi")
    assert base.generate("Hi", raw=True).text == "x"


def test_a_runtime_that_nobody_will_use_is_closed(nano_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened beside the tokenizer, so it is there when the tokenizer turns out to be broken."""
    opened: list[OrtDecoder] = []

    def open_decoder(bundle: Bundle, *_: Any, **__: Any) -> OrtDecoder:
        opened.append(OrtDecoder.open(bundle))
        return opened[0]

    def broken(*_: Any) -> Tokenizer:
        raise BundleError("a broken tokenizer", hint="none")

    monkeypatch.setattr("youtu_onnx.chat.opening.open_decoder", open_decoder)
    monkeypatch.setattr(Tokenizer, "open", broken)
    with pytest.raises(BundleError, match="a broken tokenizer"):
        load(nano_bundle("fp32"))
    with pytest.raises(UsageError, match="closed"):
        opened[0].prefill([1])


# ---- the package


def test_importing_the_package_brings_no_heavy_library() -> None:
    code = (
        "import sys, youtu_onnx; heavy = {'torch', 'onnxruntime', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules);"
        "assert not heavy, heavy; assert youtu_onnx.__version__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=NANO.parent.parent.parent)


def test_load_and_export_are_functions_in_any_order_of_imports() -> None:
    code = (
        "import youtu_onnx; from youtu_onnx.publish.exporting import export; assert youtu_onnx.export is export;"
        "assert youtu_onnx.load.__module__ == 'youtu_onnx.chat.opening'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=NANO.parent.parent.parent)
    with pytest.raises(AttributeError, match="nonsense"):
        youtu_onnx.nonsense  # noqa: B018
