"""Bundles with the native operators answer as they do without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.cli_process import failed, run
from tests.vectors.make import NANO
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import ProviderError, UsageError
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.text import Tokenizer

KINDS = (("int4", "latent"), ("int8", "latent"), ("int4", "latent-fp16"), ("int4", "latent-int8"))
PROMPT = "<|User|>What is 37 + 48?<|Assistant|>"


@pytest.fixture(scope="module", autouse=True)
def installed() -> library.Library:
    try:
        return library.load()
    except ProviderError as error:
        pytest.skip(f"needs pip install ./native: {error.message}")


@contextmanager
def opened(path: Path, kernels: str) -> Iterator[OrtDecoder]:
    model = OrtModel(Bundle.open(path), "cpu", 2, options=ProviderOptions(kernels=kernels))
    try:
        yield OrtDecoder(model)
    finally:
        model.close()


def asked(path: Path, count: int) -> list[int]:
    """So many tokens of problems, which the model knows: of ids that mean nothing to it, it says what a rounding decides."""
    problems = [json.loads(line)["prompt"] for line in (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
    return Tokenizer.open(path).encode(" ".join(problems))[:count]


def greedy(decoder: OrtDecoder, ids: list[int], count: int) -> list[int]:
    decoder.reset()
    found = [int(decoder.prefill(ids).argmax())]
    while len(found) < count:
        found.append(int(decoder.decode(found[-1:])[-1].argmax()))
    return found


@pytest.mark.parametrize(("precision", "cache"), KINDS)
def test_greedy_tokens_are_the_same(nano_bundle: Callable[..., Path], precision: str, cache: str) -> None:
    path = nano_bundle(precision, cache)
    ids = Tokenizer.open(path).encode(PROMPT, special=True)
    with opened(path, "native") as ours, opened(path, "onnxruntime") as theirs:
        assert greedy(ours, ids, 24) == greedy(theirs, ids, 24)


@pytest.mark.parametrize(("precision", "cache"), KINDS)
@pytest.mark.parametrize("length", [3, 70, 150])
def test_logits_differ_by_rounding_alone(nano_bundle: Callable[..., Path], precision: str, cache: str, length: int) -> None:
    """Both round activations to bytes, so where a sum falls beside a boundary they differ by a step of those: over prompts of 60
    to 83 tokens by 0.8 to 4.7 % in int4 over bytes, half of them by less than 1.9."""
    ids = asked(nano_bundle(precision, cache), length)
    with opened(nano_bundle(precision, cache), "native") as ours, opened(nano_bundle(precision, cache), "onnxruntime") as theirs:
        for decoder in (ours, theirs):
            decoder.prefill(ids[:-1])
        a, b = ours.decode(ids[-1:])[0], theirs.decode(ids[-1:])[0]
    a, b = a - a.mean(), b - b.mean()
    assert np.linalg.norm(a - b) < 0.06 * np.linalg.norm(b)


@pytest.mark.parametrize("cache", ["latent", "latent-fp16", "latent-int8"])
def test_a_prompt_in_steps_is_the_prompt_at_once(nano_bundle: Callable[..., Path], cache: str) -> None:
    ids = asked(nano_bundle("int4", cache), 160)
    with opened(nano_bundle("int4", cache), "native") as decoder:
        whole = decoder.prefill(ids)
        for size in (1, 9, 64, 100):
            decoder.reset()
            for start in range(0, len(ids), size):
                logits = decoder.decode(ids[start : start + size])[-1]
            assert np.linalg.norm(logits - whole) < 0.05 * np.linalg.norm(whole - whole.mean()), size


def test_a_batch_padded_on_the_left_gives_what_its_prompts_give_alone(nano_bundle: Callable[..., Path]) -> None:
    prompts = [[5, 9, 13, 17, 21, 8], [7, 11]]
    model = OrtModel(Bundle.open(nano_bundle("int4")), "cpu", 2, options=ProviderOptions(kernels="native"))
    together, _, _ = model.run_batch(prompts, pad_id=0)
    for row, prompt in enumerate(prompts):
        alone, _, _ = model.run_batch([prompt], pad_id=0)
        a, b = together[row, -1], alone[0, -1]  # products of many rows are summed in another order than those of few
        assert np.linalg.norm(a - b) < 0.03 * np.linalg.norm(b - b.mean())
    model.close()


def test_the_cache_may_lie_anywhere_and_gives_the_same(nano_bundle: Callable[..., Path]) -> None:
    """Presents that are returned and fed again, instead of one buffer that is appended to."""
    ids = list(range(5, 45))
    with opened(nano_bundle("int4"), "native") as decoder:
        in_place = decoder.decode(ids[:-1]), decoder.decode(ids[-1:])
        model = decoder.model
        array = np.array([ids])
        first, past = model.run(array[:, :-1], np.ones((1, 39)), np.arange(39)[None])
        second, _ = model.run(array[:, -1:], np.ones((1, 40)), np.array([[39]]), past)
    assert np.array_equal(first[0], in_place[0]) and np.array_equal(second[0], in_place[1])


def test_a_graph_without_such_products_is_run_as_it_is(nano_bundle: Callable[..., Path]) -> None:
    path = nano_bundle("fp32")
    model = OrtModel(Bundle.open(path), "cpu")
    assert model.kernels == "onnxruntime"
    model.close()
    with pytest.raises(UsageError, match="compute nothing of"):
        OrtModel(Bundle.open(path), "cpu", options=ProviderOptions(kernels="native"))
    assert "--kernels onnxruntime" in failed(run("generate", path, "-p", "x", "--kernels", "native"), 2)


def test_the_environment_says_which_unless_an_option_does(
    nano_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(nano_bundle("int4"))
    for said, asked, expected in (
        ("native", None, "native"),
        ("onnxruntime", "native", "native"),
        ("native", "onnxruntime", "onnx"),
    ):
        monkeypatch.setenv(library.VARIABLE, said)
        model = OrtModel(bundle, "cpu", options=ProviderOptions(kernels=asked))
        assert model.kernels.startswith(expected)
        model.close()
    monkeypatch.setenv(library.VARIABLE, "fast")
    with pytest.raises(UsageError, match="YOUTU_ONNX_KERNELS can't be 'fast'"):
        OrtModel(bundle, "cpu")


def test_a_library_of_another_interface_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "INTERFACE", 999)
    with pytest.raises(ProviderError, match="needs 999"):
        library.load()


def test_a_file_that_is_no_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library").write_text("no")
    monkeypatch.setattr("youtu_onnx_native.library", lambda: tmp_path / "library")
    with pytest.raises(ProviderError, match="can't be loaded"):
        library.load()


def test_an_instruction_set_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOUTU_ONNX_INSTRUCTIONS", "mmx")
    with pytest.raises(ProviderError, match="YOUTU_ONNX_INSTRUCTIONS"):
        library.load()


def test_verification_runs_them_too(nano_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from youtu_onnx.families.checkpoint import Checkpoint
    from youtu_onnx.verify.verify import verify_bundle

    path, checkpoint = nano_bundle("int4"), Checkpoint.open("youtu-nano")
    monkeypatch.delenv(library.VARIABLE)
    found = verify_bundle(path, checkpoint)
    assert found.passed and found.parity is not None and found.parity.graph["native"].positions > 0


def test_bench_and_doctor_say_whose_kernels_compute(nano_bundle: Callable[..., Path], installed: library.Library) -> None:
    path = nano_bundle("int4")
    said = run("bench", path, "-p", "8", "-n", "2", "-r", "1", "--kernels", "native").stdout.decode()
    assert f"kernels: native ({installed.instructions})" in said
    assert f"native, with {installed.instructions}" in run("doctor").stdout.decode()


def test_weights_are_mapped_and_not_copied(nano_bundle: Callable[..., Path]) -> None:
    """A session with native operators packs nothing: the data file is the only place where weights are."""
    path = nano_bundle("int8")
    with opened(path, "native") as decoder:
        decoder.prefill([5, 6, 7])
        maps = Path("/proc/self/smaps") if Path("/proc/self/smaps").exists() else None
        if maps is None:
            pytest.skip("this system doesn't tell what is mapped")
        assert str((path / names.MODEL_DATA).resolve()) in maps.read_text()
