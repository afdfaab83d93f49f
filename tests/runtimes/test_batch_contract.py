"""What every Batch does: any schedule of steps gives each sequence the logits that it has alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from tests.exported import export_tiny, reference, reference_logits
from tests.serve.engine.fake_batch import FakeCache
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.families.youtu.cache import EXPANDS_FROM
from youtu_onnx.runtimes.batch import Batch, Chunk
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.runtimes.opening import open_batch, open_decoder
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.turns import TurnsModel

CASES = {
    "slots": ("fp32", "latent", "cpu", BatchModel),
    "slots-int8": ("int8", "latent-int8", "cpu", BatchModel),
    "turns": ("fp32", "latent", "cpu", TurnsModel),
    "turns-static": ("fp32", "latent", "dml", TurnsModel),
    "turns-expanded": ("fp32", "expanded", "cpu", TurnsModel),
}
IDS = np.random.default_rng(3).integers(4, 1270, 400).tolist()
FLOAT, INTEGER = {"rtol": 1e-3, "atol": 2e-4}, {"rtol": 0, "atol": 0.5}
"""As in test_decoder_contract.py."""


def open_as(kind: type, bundle: Bundle) -> Batch:
    if kind is BatchModel:
        batch = open_batch(bundle, "cpu", 1)
        assert isinstance(batch, BatchModel)
        return batch
    from youtu_onnx.runtimes.ort.model import OrtModel

    return TurnsModel(OrtModel(bundle, "cpu", 1))


@pytest.fixture(scope="module", params=CASES)
def opened(request: pytest.FixtureRequest, nano_bundle: Callable[..., Path]) -> Iterator[tuple[Batch, Decoder, dict]]:
    """A Batch, a Decoder over the same bundle, and what their logits may differ by."""
    precision, cache, target, kind = CASES[request.param]
    bundle = Bundle.open(nano_bundle(precision, cache, target))
    batch, decoder = open_as(kind, bundle), open_decoder(bundle, provider="cpu", threads=1)
    yield batch, decoder, INTEGER if precision == "int8" else FLOAT
    batch.close()
    decoder.close()


class Sequence:
    """A cache, and what ought to be in it."""

    def __init__(self, opened: tuple[Batch, Decoder, dict]) -> None:
        self.batch, self.decoder, self.tolerance = opened
        self.cache, self.ids = self.batch.new_cache(), []

    def chunk(self, ids: list[int], logits: bool = True) -> Chunk:
        self.ids = self.ids + ids
        return Chunk(self.cache, ids, logits)

    def token(self, id_: int) -> tuple[object, int]:
        self.ids = [*self.ids, id_]
        return self.cache, id_

    def check(self, row: np.ndarray) -> None:
        """``row`` is what the Decoder says of these ids."""
        assert self.cache.length == len(self.ids)
        self.decoder.reset()
        np.testing.assert_allclose(row, self.decoder.prefill(self.ids), **self.tolerance)


@pytest.fixture
def begun(opened: tuple[Batch, Decoder, dict]) -> Callable[..., Sequence]:
    """``begun(n, start=0)`` → a sequence with n tokens in its cache."""

    def make(count: int = 0, start: int = 0) -> Sequence:
        one = Sequence(opened)
        if count:
            one.batch.step({}, one.chunk(IDS[start : start + count], False))
        return one

    return make


def test_it_says_its_sizes(opened: tuple[Batch, Decoder, dict]) -> None:
    batch, decoder, _ = opened
    assert (batch.vocab_size, batch.context_length) == (decoder.vocab_size, decoder.context_length) == (1280, 1024)
    assert batch.count >= 2


@pytest.mark.parametrize("count", [1, 5, EXPANDS_FROM + 3])
def test_a_chunk_alone(begun: Callable[..., Sequence], count: int) -> None:
    one = begun(2)
    logits = one.batch.step({}, one.chunk(IDS[2 : 2 + count]))
    assert (logits.shape, logits.dtype) == ((1, 1280), np.float32)
    one.check(logits[0])


def test_a_chunk_without_logits(begun: Callable[..., Sequence]) -> None:
    one, other = begun(), begun(3, 50)
    assert one.batch.step({}, one.chunk(IDS[:9], False)).shape == (0, 1280)
    logits = one.batch.step({1: other.token(7)}, one.chunk(IDS[9:12], False))
    assert logits.shape == (1, 1280)
    other.check(logits[0])
    one.check(one.batch.step({0: one.token(5)})[0])


def test_all_places_at_once_and_rows_in_their_order(begun: Callable[..., Sequence]) -> None:
    batch = begun().batch
    others = {place: begun(1 + 2 * place, 10 * place) for place in range(batch.count)}
    last = begun(4, 300)
    tokens = {place: others[place].token(20 + place) for place in reversed(range(batch.count))}
    logits = batch.step(tokens, last.chunk(IDS[100:107]))
    assert logits.shape == (batch.count + 1, 1280)
    for one, row in zip((*others.values(), last), logits, strict=True):
        one.check(row)


@pytest.mark.parametrize("place", [0, 1, 2, -1])
def test_a_token_alone_in_any_place(begun: Callable[..., Sequence], place: int) -> None:
    one = begun(6)
    one.check(one.batch.step({place % one.batch.count: one.token(9)})[0])


def test_a_sequence_of_one_token_and_an_empty_cache(begun: Callable[..., Sequence]) -> None:
    one, other = begun(), begun()
    logits = one.batch.step({1: one.token(9)}, other.chunk([7]))
    one.check(logits[0])
    other.check(logits[1])


def test_caches_do_not_know_of_each_other(begun: Callable[..., Sequence]) -> None:
    one, other = begun(20), begun()
    other.cache, other.ids = one.cache.copy_prefix(12), one.ids[:12]
    logits = one.batch.step({0: one.token(5), 1: other.token(6)})
    one.check(logits[0])
    other.check(logits[1])
    other.cache.truncate(3)
    other.ids = other.ids[:3]
    logits = one.batch.step({1: one.token(8)}, other.chunk(IDS[200:230]))
    one.check(logits[0])
    other.check(logits[1])
    assert one.cache.nbytes > 0


def test_a_copy_of_a_prefix_has_nothing_else(begun: Callable[..., Sequence]) -> None:
    one, other = begun(30), begun()
    assert one.batch.prefix_shareable
    other.cache, other.ids = one.cache.copy_prefix(25), one.ids[:25]
    assert (one.cache.length, other.cache.length) == (30, 25)
    other.check(one.batch.step({0: other.token(5)})[0])
    other.cache, other.ids = one.cache.copy_prefix(0), []
    assert other.cache.length == 0
    other.check(one.batch.step({}, other.chunk(IDS[7:12]))[0])
    one.check(one.batch.step({0: one.token(5)})[0])


def test_a_cache_of_another_batch_is_refused(begun: Callable[..., Sequence]) -> None:
    batch = begun().batch
    with pytest.raises(UsageError, match="FakeCache is no cache of this batch"):
        batch.step({0: (FakeCache(), 5)})
    with pytest.raises(UsageError, match="FakeCache is no cache of this batch"):
        batch.step({}, Chunk(FakeCache(), [5], True))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_schedule_gives_the_decoders_logits(opened: tuple[Batch, Decoder, dict], data: st.DataObject) -> None:
    """Sequences join by chunks, decode together in any places, leave, go back, and begin like others."""
    batch, pool = opened[0], [Sequence(opened)]
    for _ in range(data.draw(st.integers(3, 8), "steps")):
        deed = data.draw(st.sampled_from(["new", "like", "truncate", "leave", "go on"]))
        source = data.draw(st.sampled_from(pool))
        if deed in ("new", "like") and len(pool) <= batch.count:
            pool.append(Sequence(opened))
            if deed == "like":
                length = data.draw(st.integers(0, len(source.ids)))
                pool[-1].cache, pool[-1].ids = source.cache.copy_prefix(length), source.ids[:length]
        elif deed == "truncate":
            length = data.draw(st.integers(0, len(source.ids)))
            source.cache.truncate(length)
            source.ids = source.ids[:length]
        elif deed == "leave" and len(pool) > 1:
            pool.remove(source)
        order = data.draw(st.permutations(pool))
        reader = order.pop() if len(order) > batch.count or data.draw(st.booleans(), "chunk") else None
        taken = order[: data.draw(st.integers(0 if reader else 1, len(order)), "sequences")] if order else []
        places = data.draw(st.lists(st.integers(0, batch.count - 1), min_size=len(taken), max_size=len(taken), unique=True))
        start = data.draw(st.integers(0, 300))
        tokens = {place: one.token(IDS[start + place]) for place, one in zip(places, taken, strict=True)}
        size, wanted = (
            data.draw(st.sampled_from([1, 2, 7, EXPANDS_FROM - 1, EXPANDS_FROM, 90])),
            data.draw(st.booleans(), "logits"),
        )
        logits = batch.step(tokens, reader.chunk(IDS[start : start + size], wanted) if reader else None)
        rows = [one for _, one in sorted(zip(places, taken, strict=True))] + ([reader] if reader and wanted else [])
        assert len(logits) == len(rows)
        for one, row in zip(rows, logits, strict=True):
            one.check(row)


def test_the_context_can_be_filled(begun: Callable[..., Sequence]) -> None:
    one, other = begun(), begun(3, 9)
    full = (IDS * 3)[:1023]
    one.batch.step({}, one.chunk(full[:500], False))
    one.batch.step({1: other.token(5)}, one.chunk(full[500:], False))
    logits = one.batch.step({0: one.token(5), 1: other.token(6)})
    assert one.cache.length == 1024 and np.isfinite(logits).all()
    other.check(logits[1])


@pytest.mark.parametrize("kind", ["slots", "turns"])
def test_lengths_grow_with_success_only(nano_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A chunk for whose rows there is no memory: what the step did not do can be done again."""
    precision, cache, target, of = CASES[kind]
    bundle = Bundle.open(nano_bundle(precision, cache, target))
    opened = open_as(of, bundle), open_decoder(bundle, provider="cpu", threads=1), FLOAT
    one, other = Sequence(opened), Sequence(opened)
    opened[0].step({}, one.chunk(IDS[:5], False))

    def refuse(rows: int) -> None:
        raise ResourceError(f"no memory for {rows}")

    with monkeypatch.context() as patch:
        patch.setattr(other.cache, "reserve", refuse)
        with pytest.raises(ResourceError):
            opened[0].step({0: (one.cache, 5)}, Chunk(other.cache, IDS[:9], True))
    assert other.cache.length == 0
    assert one.cache.length == (6 if kind == "turns" else 5), "in turns the first one's was taken"
    one.cache.truncate(5)
    logits = opened[0].step({0: one.token(5)}, other.chunk(IDS[:9]))
    one.check(logits[0])
    other.check(logits[1])
    opened[0].close()


@pytest.mark.parametrize("kind", ["slots", "turns"])
def test_ids_that_the_graph_refuses_change_nothing(nano_bundle: Callable[..., Path], kind: str) -> None:
    precision, cache, target, of = CASES[kind]
    batch = open_as(of, Bundle.open(nano_bundle(precision, cache, target)))
    one = batch.new_cache()
    with pytest.raises(BundleError):
        batch.step({}, Chunk(one, [10**6], True))
    assert one.length == 0
    batch.close()
    batch.close()
    with pytest.raises(UsageError, match="was closed"):
        batch.step({}, Chunk(one, [1], True))


@pytest.mark.parametrize(
    ("precision", "changes", "form"),
    [
        ("fp32", {}, "latent"),
        ("fp32", VARIANTS["no q_lora"] | VARIANTS["attention bias"] | VARIANTS["untied"], "latent"),
        ("int8", VARIANTS["half-split rope"], "latent-int8"),
    ],
)
def test_a_tiny_model_of_odd_sizes_equals_transformers(tmp_path: Path, precision: str, changes: dict, form: str) -> None:
    """K wider than V, three layers, three heads: steps of every kind against transformers' own model."""
    config = CONFIG | changes
    assert config["num_hidden_layers"] % 2 == 1 and config["qk_nope_head_dim"] != config["v_head_dim"]
    tensors = random_tensors(config)
    write_checkpoint(tmp_path / "checkpoint", config, tensors)
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "bundle", Recipe(precision, 32), form=form, batch=True)
    model, batch = reference(config, tensors), BatchModel(Bundle(tmp_path / "bundle", manifest), 1)
    assert batch.bytes_per_token == 3 * 32 * (1 if form == "latent-int8" else 4), "no half pair that nothing reads"
    chance = np.random.default_rng(1)
    ids, caches = [[] for _ in range(batch.count)], [batch.new_cache() for _ in range(batch.count)]
    made, expected = [], []
    for step, joining in enumerate([7, 40, 1, 50, 2, 33, 5, 9, 0, 0]):
        tokens = {
            place: (caches[place], int(chance.integers(3, 131))) for place in range(min(step, batch.count)) if place != step - 4
        }
        chunk = Chunk(caches[step], chance.integers(3, 131, joining).tolist(), step != 2) if joining else None
        logits = batch.step(tokens, chunk)
        for place, (_, id_) in tokens.items():
            ids[place].append(id_)
        rows = list(tokens)
        if chunk:
            ids[step] += chunk.ids
            rows += [step] if chunk.logits else []
        made += list(logits)
        expected += [reference_logits(model, np.array([ids[place]]))[0, -1] for place in rows]
    batch.close()
    if precision == "fp32":
        np.testing.assert_allclose(made, expected, **FLOAT)
    else:
        from youtu_onnx.verify.difference import centre, compare

        wanted = np.array(expected)
        assert compare(wanted, np.array(made), centre(wanted)).relative_error < 0.1
