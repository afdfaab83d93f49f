"""Perplexity and divergence, beside transformers' and PyTorch's own."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.cli_process import failed, run  # noqa: E402
from tests.vectors.make import NANO  # noqa: E402
from youtu_onnx.core.bundle import Bundle  # noqa: E402
from youtu_onnx.core.errors import UsageError, VerificationError  # noqa: E402
from youtu_onnx.evaluate.distance import Distances  # noqa: E402
from youtu_onnx.evaluate.language import BUILT_IN, ROWS, Language, measure  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.referenced import reference_of  # noqa: E402
from youtu_onnx.runtimes.opening import open_decoder  # noqa: E402
from youtu_onnx.text import Tokenizer  # noqa: E402
from youtu_onnx.text.passages import passages  # noqa: E402

WINDOW = 2 * ROWS + 7


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Problems like those that youtu-nano knows."""
    return Path(shutil.copyfile(NANO / "heldout.jsonl", tmp_path_factory.mktemp("text") / "problems.txt"))


@pytest.fixture(scope="module")
def ids(text: Path) -> list[list[int]]:
    return passages([text], Tokenizer.open(NANO), window=WINDOW, tokens=4 * WINDOW + 30)


def measured(folder: Path, ids: list[list[int]], checkpoint: Path | None = NANO) -> Language:
    bundle = Bundle.open(folder)
    decoder = open_decoder(bundle, threads=1)
    try:
        return measure(bundle, decoder, ids, None if checkpoint is None else Checkpoint.open(str(checkpoint)))
    finally:
        decoder.close()


def transformers_nats(ids: list[list[int]]) -> float:
    """The mean negative log-likelihood of what follows, by transformers' own loss."""
    from transformers import YoutuForCausalLM

    model = YoutuForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()
    with torch.inference_mode():
        nats = [model(torch.tensor([one]), labels=torch.tensor([one])).loss.item() * (len(one) - 1) for one in ids]
    return sum(nats) / sum(len(one) - 1 for one in ids)


def test_a_float_bundle_predicts_as_its_checkpoint_does(nano_bundle: Callable[..., Path], ids: list[list[int]]) -> None:
    found, nats = measured(nano_bundle("fp32"), ids), transformers_nats(ids)
    assert found.predicted == sum(len(one) - 1 for one in ids)
    assert math.log(found.perplexity) == pytest.approx(nats, abs=1e-4)
    assert found.float_perplexity is not None and math.log(found.float_perplexity) == pytest.approx(nats, abs=1e-4)
    assert found.whole is not None and found.whole.largest < 1e-5 and found.whole.top1 > 0.999
    assert found.weights is None, "they are the checkpoint's"


def test_what_weights_cost_is_told_from_what_the_graph_rounds(nano_bundle: Callable[..., Path], ids: list[list[int]]) -> None:
    int4, bytes_ = measured(nano_bundle("int4"), ids), measured(nano_bundle("int4", "latent-int8"), ids)
    for found in (int4, bytes_):
        assert found.whole is not None and found.weights is not None
        assert 0 < found.whole.median <= found.whole.mean < found.whole.p99 < found.whole.largest
    assert bytes_.weights.mean == pytest.approx(int4.weights.mean, rel=0.05), "the cache is no weight"
    eight = [measured(nano_bundle("int8", cache), ids).whole for cache in ("latent", "latent-int8")]
    assert eight[0] is not None and eight[1] is not None
    assert eight[0].mean < eight[1].mean, "and costs something, which weights of 4 bits would hide"


def test_integer_heads_and_an_int8_cache_are_told_apart(nano_bundle: Callable[..., Path], ids: list[list[int]]) -> None:
    bundles = [Bundle.open(nano_bundle("int4", cache)) for cache in ("latent-int8", "latent")]
    bytes_, floats = (open_decoder(one, threads=1) for one in bundles)
    try:
        found = measure(bundles[0], bytes_, ids, Checkpoint.open(str(NANO)), beside=floats)
    finally:
        bytes_.close()
        floats.close()
    alone = measured(nano_bundle("int4"), ids)
    assert found.heads is not None and alone.heads is not None and found.weights is not None
    assert 0 < found.heads.mean < found.weights.mean, "W_UK and W_UV are some of the weights"
    assert found.beside == alone.whole
    assert found.whole is not None and found.beside is not None
    assert found.added == found.whole.mean - found.beside.mean == found.to_dict()["added_kl_mean"]
    assert found.to_dict()["heads_kl_mean"] == found.heads.mean
    assert measured(nano_bundle("fp32"), ids).heads is None and alone.added is None


def test_without_a_checkpoint_there_is_perplexity_alone(nano_bundle: Callable[..., Path], ids: list[list[int]]) -> None:
    alone, beside = measured(nano_bundle("int4"), ids, None), measured(nano_bundle("int4"), ids)
    assert alone.perplexity == beside.perplexity
    assert alone.float_perplexity is None and alone.whole is None and alone.weights is None
    assert alone.to_dict() == {"predicted": alone.predicted, "perplexity": alone.perplexity, "float_perplexity": None}


def test_pieces_are_the_whole_cut(ids: list[list[int]]) -> None:
    checkpoint = Checkpoint.open(str(NANO))
    reference, read = reference_of(checkpoint.family), []
    whole = reference.logits(checkpoint, ids)
    pieces = list(reference.logits_in_pieces(checkpoint, ids, rows=ROWS, on_bytes=read.append))
    assert [len(one) for one in pieces] == [len(one[start : start + ROWS]) for one in ids for start in range(0, len(one), ROWS)]
    np.testing.assert_allclose(np.concatenate(pieces), np.concatenate(whole), atol=1e-4)
    assert sum(read) <= checkpoint.nbytes


def test_divergences_are_pytorchs() -> None:
    random = np.random.default_rng(2)
    wanted, found = (random.normal(size=(50, 33)).astype(np.float32) * 3 for _ in range(2))
    expected = torch.nn.functional.kl_div(
        torch.from_numpy(found).double().log_softmax(-1), torch.from_numpy(wanted).double().softmax(-1), reduction="none"
    ).sum(-1)
    distances = Distances()
    for start in range(0, 50, 20):
        distances.add(wanted[start : start + 20], found[start : start + 20])
    summary = distances.summary()
    assert summary is not None
    assert summary.mean == pytest.approx(expected.mean().item())
    assert summary.median == pytest.approx(np.median(expected.numpy()))
    assert summary.p99 == pytest.approx(np.quantile(expected.numpy(), 0.99))
    assert summary.largest == pytest.approx(expected.max().item())
    assert summary.top1 == np.mean(wanted.argmax(-1) == found.argmax(-1))
    same = Distances()
    same.add(wanted, wanted)
    assert same.summary() is not None and same.summary().largest == 0 and same.summary().top1 == 1
    assert Distances().summary() is None


def test_text_is_cut_into_passages(tmp_path: Path) -> None:
    tokenizer = Tokenizer.open(NANO)
    whole = tokenizer.encode(BUILT_IN.read_text(encoding="utf-8"))
    cut = passages([BUILT_IN], tokenizer, window=50, tokens=10**6)
    assert [id_ for one in cut for id_ in one] == whole[: len(whole) - (len(whole) % 50 == 1)]
    assert {len(one) for one in cut[:-1]} == {50}
    two = tmp_path / "two.txt"
    two.write_bytes("Two files are one text.".encode("utf-16"))
    assert passages([two, BUILT_IN], tokenizer, window=10**6, tokens=300) == [
        (tokenizer.encode("Two files are one text.") + whole)[:300]
    ]
    for window, tokens in ((1, 100), (100, 1)):
        with pytest.raises(UsageError, match="can't be"):
            passages([BUILT_IN], tokenizer, window=window, tokens=tokens)
    empty = tmp_path / "empty.txt"
    empty.touch()
    for file, message in ((empty, "no two tokens"), (tmp_path / "none", "can't read"), (tmp_path, "can't read")):
        with pytest.raises(UsageError, match=message):
            passages([file], tokenizer, window=10, tokens=10)


def test_another_models_checkpoint_and_passages_beyond_the_context_are_refused(
    nano_bundle: Callable[..., Path], tmp_path: Path, ids: list[list[int]]
) -> None:
    from tests.tiny_checkpoint import write_checkpoint

    with pytest.raises(VerificationError, match="another shape"):
        measured(nano_bundle("int4"), ids, write_checkpoint(tmp_path / "other"))
    with pytest.raises(UsageError, match="--window smaller") as refused:
        measured(nano_bundle("int4"), [[5] * 1025], None)
    assert refused.value.hint


def test_the_command(nano_bundle: Callable[..., Path], text: Path) -> None:
    bundle = nano_bundle("int4")
    options = ("--tokens", "300", "--window", "100")
    made = json.loads(run("evaluate", bundle, "-m", "youtu-nano", *options, "--json").stdout)
    names = (
        "perplexity",
        "float_perplexity",
        "kl_mean",
        "kl_median",
        "kl_p99",
        "kl_max",
        "top1",
        "bits_per_weight",
        "weights_kl_mean",
    )
    assert all(isinstance(made[name], float) for name in names) and made["predicted"] == 297
    assert 4 < made["bits_per_weight"] < 6
    shown = run("evaluate", bundle, "--text", text, *options).stdout.decode()
    assert "297 predicted" in shown and "perplexity" in shown and "KL" not in shown
    failed(run("evaluate", bundle, "--text", text, "--problems", text), 2)
    failed(run("evaluate", bundle, "--text", text, "--beside", bundle), 2)
    shown = run("evaluate", bundle, "-m", "youtu-nano", "--beside", bundle, *options).stdout.decode()
    assert "worse than a guess among all" in shown, "the built-in text is prose, and this model was never shown any"
    assert "of W_UK, W_UV" in shown and "added to it    +0.0000 nats" in shown
