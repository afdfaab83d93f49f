"""Replies: stopping, streaming, thinking, counting, and the cache between turns."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import youtu_onnx
from youtu_onnx.chat.generation import Generation, Piece
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.opening import load
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, UsageError, YoutuOnnxError
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK, check_ids, check_rewind
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.text import ChatTemplate, Tokenizer

NANO = Path(__file__).parents[2] / "youtu_onnx" / "models" / "youtu_nano"
TOKENIZER = Tokenizer.open(NANO)
EOS = TOKENIZER.eos_id
assert EOS is not None


class Scripted:
    """A Decoder that replies with given tokens and counts what it is made to compute."""

    vocab_size = 1280
    rewindable = True
    rows = None

    def __init__(self, reply: str | Sequence[int], context_length: int = 100) -> None:
        self.reply = [*TOKENIZER.encode(reply, special=True), EOS] if isinstance(reply, str) else list(reply)
        self.context_length, self.length, self.computed = context_length, 0, 0
        self.spoken = 0
        self.breaks_after: int | None = None

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        ids = check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)
        if self.breaks_after is not None:
            self.length += self.breaks_after
            raise KeyboardInterrupt
        self.length += len(ids)
        self.computed += len(ids)
        logits = np.zeros(self.vocab_size, np.float32)
        logits[self.reply[self.spoken % len(self.reply)]] = 9
        self.spoken += 1
        return logits

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        return np.stack([self.prefill([one]) for one in ids])

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        assert self.rewindable or count in (0, self.length)
        self.length -= count

    def reset(self) -> None:
        self.length = 0

    def close(self) -> None: ...


def begin(
    decoder: Scripted, prompt: Sequence[int] = (2, 50, 3), *, cache: TokenCache | None = None, **choices: Any
) -> Generation:
    settings = {"sampling": Sampling(greedy=True), "max_tokens": None, "eos_ids": (EOS,)} | choices
    return Generation(cache or TokenCache(decoder), TOKENIZER, prompt, **settings)


# ---- one reply, scripted


def test_a_reply_ends_at_the_end_token_and_does_not_show_it() -> None:
    generation = begin(Scripted("Hi 😀!"))
    pieces = list(generation)
    result = generation.result
    assert "".join(pieces) == result.text == result.answer == "Hi 😀!"
    assert result.finish_reason == "stop"
    assert EOS not in result.token_ids and TOKENIZER.decode(result.token_ids) == "Hi 😀!"
    assert result.usage.to_dict() == {
        "prompt_tokens": 3,
        "completion_tokens": len(result.token_ids),
        "total_tokens": 3 + len(result.token_ids),
    }


def test_any_of_several_end_tokens_ends_it() -> None:
    generation = begin(Scripted([60, 61, 7, 62]), eos_ids=(EOS, 7))
    assert generation.result.token_ids == [60, 61]


def test_a_model_may_say_nothing() -> None:
    result = begin(Scripted([EOS])).result
    assert (result.text, result.token_ids, result.finish_reason) == ("", [], "stop")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_max_tokens(limit: int) -> None:
    result = begin(Scripted([60] * 50), max_tokens=limit).result
    assert (len(result.token_ids), result.finish_reason) == (limit, "length")


@pytest.mark.parametrize("wanted", [None, 1000])
def test_the_context_ends_a_reply_too(wanted: int | None) -> None:
    decoder = Scripted([60] * 50, context_length=20)
    result = begin(decoder, max_tokens=wanted).result
    assert (result.usage.total_tokens, result.finish_reason) == (20, "length")
    assert decoder.length <= 20


def test_a_character_cut_by_the_limit_shows_as_replacement() -> None:
    generation = begin(Scripted("😀"), max_tokens=2)
    assert "".join(generation) == generation.result.text == TOKENIZER.decode(generation.result.token_ids) == "\ufffd"


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, "5"])
def test_impossible_max_tokens(bad: Any) -> None:
    with pytest.raises(UsageError, match="max_tokens"):
        begin(Scripted("x"), max_tokens=bad)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        begin(Scripted("x"), [])


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match=r"20 tokens.*context of 20") as caught:
        begin(Scripted("x", context_length=20), [5] * 20)
    assert caught.value.hint
    assert len(begin(Scripted([60] * 9, context_length=20), [5] * 19).result.token_ids) == 1


def test_cancelling_ends_after_the_current_token() -> None:
    generation = begin(Scripted([60] * 50))
    next(generation)
    generation.cancel()
    assert list(generation) == []
    assert (generation.result.finish_reason, len(generation.result.token_ids)) == ("cancelled", 1)
    never = begin(decoder := Scripted("x"))
    never.cancel()
    assert (never.result.finish_reason, decoder.computed) == ("cancelled", 0)


def test_pieces_say_what_they_are() -> None:
    generation = begin(Scripted("<think>\nhm 中\n</think>\n\n<b>yes"))
    pieces = list(generation)
    assert all(isinstance(piece, Piece) for piece in pieces)
    result = generation.result
    assert "".join(pieces) == result.text == "<think>\nhm 中\n</think>\n\n<b>yes"
    assert (result.thinking, result.answer) == ("hm 中", "<b>yes")
    assert {piece for piece in pieces if piece.kind == "tag"} == {"<think>", "</think>"}
    assert json.loads(json.dumps(pieces)) == pieces


def test_thinking_that_the_prompt_opened() -> None:
    result = begin(Scripted("hm</think>yes"), thinking=True).result
    assert (result.text, result.thinking, result.answer) == ("hm</think>yes", "hm", "yes")


def test_a_seed_repeats_a_reply() -> None:
    def draw(seed: int) -> list[int]:
        return begin(Scripted([60] * 50), sampling=Sampling(temperature=9.0, seed=seed), max_tokens=20).result.token_ids

    assert draw(1) == draw(1) != draw(2)


# ---- what the cache holds between replies


def test_a_common_beginning_is_not_computed_again() -> None:
    decoder = Scripted("abc")
    cache = TokenCache(decoder)
    first = begin(decoder, [2, 50, 51, 3], cache=cache).result
    history = [2, 50, 51, 3, *first.token_ids, EOS, 2, 52, 3]
    decoder.spoken = decoder.computed = 0
    second = begin(decoder, history, cache=cache).result
    assert second.timing.reused_tokens == 4 + len(first.token_ids)
    assert decoder.computed == 4 + len(second.token_ids)
    assert cache.ids == [*history, *second.token_ids]


def test_the_same_prompt_again_runs_its_last_token_only() -> None:
    decoder = Scripted([EOS])
    cache = TokenCache(decoder)
    begin(decoder, [2, 50, 3], cache=cache).result  # noqa: B018 (runs it)
    decoder.computed = 0
    assert begin(decoder, [2, 50, 3], cache=cache).result.timing.reused_tokens == 2
    assert decoder.computed == 1


def test_another_prompt_shares_nothing() -> None:
    decoder = Scripted([EOS])
    cache = TokenCache(decoder)
    begin(decoder, [2, 50, 3], cache=cache).result  # noqa: B018
    assert begin(decoder, [9, 50, 3], cache=cache).result.timing.reused_tokens == 0
    assert cache.ids == [9, 50, 3] and decoder.length == 3


def test_a_cache_that_can_drop_no_tokens_is_continued_or_begun_anew() -> None:
    decoder = Scripted([EOS])
    decoder.rewindable = False
    cache = TokenCache(decoder)
    begin(decoder, [2, 50, 3], cache=cache).result  # noqa: B018
    assert begin(decoder, [2, 50, 3, 7], cache=cache).result.timing.reused_tokens == 3
    assert begin(decoder, [2, 50, 9], cache=cache).result.timing.reused_tokens == 0
    assert cache.ids == [2, 50, 9] and decoder.length == 3


def test_an_interrupted_prefill_leaves_cache_and_record_in_step() -> None:
    decoder = Scripted("x")
    cache = TokenCache(decoder)
    decoder.breaks_after = 2
    with pytest.raises(KeyboardInterrupt):
        list(begin(decoder, [2, 50, 51, 3], cache=cache))
    assert cache.ids == [2, 50] and decoder.length == 2
    decoder.breaks_after = None
    assert begin(decoder, [2, 50, 51, 3], cache=cache).result.timing.reused_tokens == 2


def test_a_long_prompt_is_told_about_and_can_be_given_up() -> None:
    decoder, prompt = Scripted("x", context_length=2000), [2, *range(50, 1250), 3]
    cache, told = TokenCache(decoder), []
    reply = begin(decoder, prompt, cache=cache)
    reply.on_prompt = lambda done, total: (told.append((done, total)), done and reply.cancel())[0]
    assert (list(reply), reply.result.finish_reason, reply.result.token_ids) == ([], "cancelled", [])
    assert told == [(0, 1202), (PREFILL_CHUNK, 1202)] and cache.ids == prompt[:PREFILL_CHUNK]
    again = begin(decoder, prompt, cache=cache)
    told.clear()
    again.on_prompt = lambda done, total: told.append((done, total))
    assert again.result.timing.reused_tokens == PREFILL_CHUNK  # what was read is not read again
    assert told == [(PREFILL_CHUNK, 1202), (2 * PREFILL_CHUNK, 1202), (1202, 1202)]


class EvenIds:
    """Allows ids that are even, twice; then nothing goes on."""

    failure: str | None = None

    def __init__(self) -> None:
        self.taken: list[int] = []

    def allowed(self) -> np.ndarray:
        mask = np.arange(Scripted.vocab_size) % 2 == 0
        if len(self.taken) == 2:
            self.failure = "two are enough"
            mask = np.arange(Scripted.vocab_size) == EOS
        return mask

    def accept(self, id_: int) -> None:
        self.taken.append(id_)


def test_a_constraint_binds_each_token_and_says_where_nothing_goes_on() -> None:
    rules = EvenIds()
    reply = begin(Scripted([51, 52, 53, 54]), constraint=rules)
    with pytest.raises(YoutuOnnxError, match="can't go on under the schema: two are enough"):
        list(reply)
    assert len(rules.taken) == 2 and all(one % 2 == 0 for one in rules.taken) and 52 in rules.taken


# ---- a real model


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
