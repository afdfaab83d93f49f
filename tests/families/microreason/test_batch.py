"""Several sequences at once over routed caches: each gets what it gets alone in any company, and costs the rows that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from tests.families.microreason.conftest import Exported
from tests.families.microreason.test_masked import ONE_CODE
from tests.families.microreason.tiny import VOCABULARY, WINDOW, training_model
from tests.serve.engine.fake_batch import FakeCache
from tests.serve.engine.replies import GREEDY, LIKELIEST, Reply, request
from training.microreason.cache import Cache
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.microreason.graph.removal import kept_behind_one
from youtu_onnx.graphs.builder import GraphBuilder, declared
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.returned_cache import ReturnedCache
from youtu_onnx.serve.engine.limits import Limits
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.engine.scheduler import Scheduler

Checkpoints = Callable[[bool], Path]
IDS = np.random.default_rng(3).integers(4, VOCABULARY, 400).tolist()
ROW = 4 * (2 * 2 * 32 + 1)
"""Bytes of a token's key and value in two heads, and of its gate."""


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Callable[[str], Bundle]:
    return lambda precision: Bundle(*exported(precision, batch=True))


@pytest.fixture(scope="module", params=["fp32", "int8", "int4", "int4 masked"])
def opened(request: pytest.FixtureRequest, exported: Exported) -> Iterator[tuple[BatchModel, OrtDecoder, float]]:
    """A batch, a decoder over the same weights, and what their logits may differ by: an activation's code may be the next one."""
    precision, *form = request.param.split()
    made = Bundle(*exported(precision, *form, batch=True))
    batch, decoder = BatchModel(made, 1), OrtDecoder.open(made, threads=1)
    yield batch, decoder, 1e-4 if precision == "fp32" else 4 * ONE_CODE
    batch.close()
    decoder.close()


@dataclass
class Sequence:
    cache: ReturnedCache
    ids: list[int] = field(default_factory=list)


def begun(batch: BatchModel, count: int, start: int = 0) -> Sequence:
    cache = batch.new_cache()
    assert isinstance(cache, ReturnedCache)
    batch.step({}, Chunk(cache, IDS[start : start + count], False), batch_invariant=True)
    return Sequence(cache, IDS[start : start + count])


def rows(cache: ReturnedCache) -> list[np.ndarray]:
    return [value.numpy() for value in cache.values]


def test_the_graph_takes_all_slots_caches_each_of_its_layers_own_lengths(bundle: Callable[[str], Bundle]) -> None:
    made = bundle("fp32")
    assert made.manifest.slots == 8 and names.BATCH in made.manifest.files
    batch = BatchModel(made, 1)
    assert (batch.count, batch.bytes_per_token, batch.prefix_shareable, batch.returns_caches) == (8, 3 * ROW, False, True)
    lengths = {one.shape[2] for one in batch._session.get_inputs() if "past_key_values" in one.name}
    assert len(lengths) == 9 * 3
    batch.close()


@pytest.mark.parametrize("seed", range(4))
def test_any_schedule_gives_the_decoder_s_logits_and_rows(opened: tuple[BatchModel, OrtDecoder, float], seed: int) -> None:
    """Sequences join by chunks, decode together in any slots, go on from another one's end, and leave."""
    batch, decoder, tolerance = opened
    random = np.random.default_rng(seed)
    pool = [Sequence(batch.new_cache())]
    for _ in range(8):
        if len(pool) < 9 and random.random() < 0.7:
            source = pool[random.integers(len(pool))]
            like = random.random() < 0.3
            cache = source.cache.copy_prefix(source.cache.length) if like else batch.new_cache()
            pool.append(Sequence(cache, list(source.ids) if like else []))
        elif len(pool) > 1:
            del pool[random.integers(len(pool))]
        order = [pool[place] for place in random.permutation(len(pool))]
        reader = order.pop() if random.random() < 0.7 or len(order) > 8 else None
        slots = random.permutation(8)[: len(order)].tolist()
        tokens = {slot: (one.cache, int(random.integers(4, VOCABULARY))) for slot, one in zip(slots, order, strict=True)}
        part = random.choice(IDS, random.choice([1, 2, 7, 30, 65])).tolist() if reader else []
        if not (tokens or part):
            continue
        wanted, invariant = bool(random.integers(2)), bool(random.integers(2))
        logits = batch.step(tokens, Chunk(reader.cache, part, wanted) if reader else None, batch_invariant=invariant)
        for slot, one in zip(slots, order, strict=True):
            one.ids.append(tokens[slot][1])
        checked = [one for _, one in sorted(zip(slots, order, strict=True), key=lambda pair: pair[0])]
        if reader:
            reader.ids += part
            checked += [reader] if wanted else []
        assert len(logits) == len(checked)
        for one, row in zip(checked, logits, strict=True):
            decoder.reset()
            assert np.abs(row - decoder.prefill(one.ids)).max() < tolerance
            if tolerance < 1e-3:  # a code may open a gate
                assert one.cache.rows == decoder.rows
            assert one.cache.length == len(one.ids)
            kept = one.cache.rows or [len(one.ids)] * 3
            assert one.cache.nbytes * 3 == batch.bytes_per_token * sum(kept)


def test_logits_and_rows_are_those_of_training_s_cache(checkpoint: Checkpoints, bundle: Callable[[str], Bundle]) -> None:
    batch, model = BatchModel(bundle("fp32"), 1), training_model(checkpoint(True))
    sequences = [begun(batch, 20 + 9 * place, 30 * place) for place in range(3)]
    theirs = [Cache() for _ in sequences]
    with torch.no_grad():
        for one, cache in zip(sequences, theirs, strict=True):
            model(torch.tensor([one.ids]), cache=cache)
        for step in range(2 * WINDOW):
            logits = batch.step({3 * place: (one.cache, IDS[step + 7 * place]) for place, one in enumerate(sequences)})
            for place, (one, cache) in enumerate(zip(sequences, theirs, strict=True)):
                wanted = model(torch.tensor([[IDS[step + 7 * place]]]), cache=cache)[0, -1].numpy()
                assert np.abs(logits[place] - wanted).max() < 1e-4
                assert list(one.cache.rows or ()) == cache.rows
    assert len({one.cache.rows for one in sequences}) == 3 and len(set(sequences[2].cache.rows or ())) > 1
    batch.close()


def test_company_doesn_t_show_bit_by_bit(opened: tuple[BatchModel, OrtDecoder, float]) -> None:
    batch, random = opened[0], np.random.default_rng(0)
    others = [begun(batch, 12 + 5 * place, 40 * place) for place in range(8)]
    own, prompt = begun(batch, 64), IDS[100:229]

    def step(slot: int | None, company: int, chunk: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The token's and the chunk's logits and rows."""
        slots = [one for one in random.permutation(8).tolist() if one != slot][:company]
        mine, reader = own.cache.copy_prefix(64), batch.new_cache()
        tokens = {one: (others[one].cache.copy_prefix(others[one].cache.length), 9 + one) for one in slots}
        tokens |= {} if slot is None else {slot: (mine, 5)}
        logits = batch.step(tokens, Chunk(reader, prompt[:chunk], True) if chunk else None, batch_invariant=True)
        token = [] if slot is None else [logits[sorted(tokens).index(slot)], *rows(mine)]
        return token, [logits[-1], *rows(reader)] if chunk else []

    alone, _ = step(0, 0, 0)
    for chunk in (64, 129, 0):
        _, read = step(None, 0, chunk) if chunk else ([], [])
        for slot, company in ((0, 0), (0, 1), (5, 2), (3, 6), (7, 7)):
            token, also = step(slot, company, chunk)
            assert all(map(np.array_equal, token, alone)), (slot, company, chunk)
            assert all(map(np.array_equal, also, read)), (slot, company, chunk)


def test_where_no_row_leaves_a_prompt_is_cut_anywhere_and_comes_out_the_same(exported: Exported) -> None:
    """Pieces of 64 tokens on, more than 64 in the first."""
    batch, found = BatchModel(Bundle(*exported("int4", "masked", batch=True)), 1), []
    assert batch.prefix_shareable and batch.returns_caches
    for cuts in ([], [128], [65], [100], [66, 130]):
        cache = batch.new_cache()
        for start, end in zip([0, *cuts], [*cuts, 200], strict=True):
            logits = batch.step({}, Chunk(cache, IDS[start:end], end == 200), batch_invariant=True)
        assert isinstance(cache, ReturnedCache)
        found.append([logits, *rows(cache)])
    assert all(all(map(np.array_equal, one, found[0])) for one in found)
    batch.close()


def test_a_cache_is_cut_by_nobody_and_caches_of_others_are_refused(bundle: Callable[[str], Bundle]) -> None:
    batch = BatchModel(bundle("fp32"), 1)
    one = begun(batch, 20)
    before = rows(one.cache)
    for part in (one.cache.truncate, one.cache.copy_prefix):
        with pytest.raises(UsageError, match="can't drop"):
            part(5)
    with pytest.raises(UsageError, match="is no cache of this batch"):
        batch.step({0: (one.cache, 5), 1: (FakeCache(), 6)})
    assert one.cache.length == 20 and all(map(np.array_equal, rows(one.cache), before))
    assert one.cache.copy_prefix(0).length == 0
    batch.close()


@pytest.mark.parametrize("window", [1, 2, 8])
def test_behind_one_token_its_window_and_what_is_open_stay(window: int) -> None:
    gate = declared("gate", ir.DataType.FLOAT, [1, 1, "rows", 1])
    builder = GraphBuilder.of(ir.Graph([gate], [], nodes=[], opset_imports={"": 23}, name="kept"))
    builder.output(kept_behind_one(builder, gate, window, "layer."), "kept", ir.DataType.BOOL, ["rows"])
    model = ir.to_proto(ir.Model(builder.graph, ir_version=10)).SerializeToString()
    session, random = ort.InferenceSession(model, providers=["CPUExecutionProvider"]), np.random.default_rng(0)
    for length in range(1, 20):
        numbers = -random.integers(0, 2, length).astype(np.float32)
        [kept] = session.run(None, {"gate": numbers.reshape(1, 1, length, 1)})
        distances = length - np.arange(length)  # of the next token
        assert kept.tolist() == ((distances < window) | (numbers == 0)).tolist()


# In an engine


def engine(bundle: Bundle, memory: int = 10**8) -> Scheduler:
    return open_engine(bundle, limits=Limits(threads=1, cache_memory=memory))


def told(engine: Scheduler, asked: list[tuple[list[int], int, Sampling]]) -> list[list[int]]:
    """All at once."""
    replies = []
    for prompt, count, sampling in asked:
        replies.append(Reply())
        engine.submit(request(prompt, count, sampling=sampling), replies[-1])
    for reply in replies:
        assert reply.end().error is None
    return [reply.ids for reply in replies]


def each_alone(bundle: Bundle, asked: list[tuple[list[int], int, Sampling]]) -> list[list[int]]:
    one = engine(bundle)
    replies = [told(one, [each])[0] for each in asked]
    one.close()
    return replies


def some(count: int) -> list[tuple[list[int], int, Sampling]]:
    """Prompts of one chunk and of several, some of which begin alike, and replies that end one after the other."""
    random = np.random.default_rng(1)
    sizes = random.integers(1, 170, count).tolist()
    wishes = (GREEDY, Sampling(seed=7, temperature=1.5))
    return [
        (IDS[:size] if place % 3 else IDS[place : place + size], 5 + 4 * place, wishes[place % 2])
        for place, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_replies_are_those_that_each_gets_alone(bundle: Callable[[str], Bundle], precision: str) -> None:
    asked, made = some(10), bundle(precision)
    alone = each_alone(made, asked)
    together = engine(made)
    assert together.stats().places == 8
    for _ in range(2):
        assert told(together, asked) == alone
    together.close()


def test_sequences_that_were_preempted_reply_the_same(bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    asked, made, own, computed = [(one[:20], 70, wish) for one, _, wish in some(6)], bundle("int4"), BatchModel.step, []
    alone = each_alone(made, asked)

    def counted(model: BatchModel, tokens: dict[int, Any], chunk: Chunk | None = None, **more: Any) -> np.ndarray:
        computed.append(len(tokens) + (len(chunk.ids) if chunk else 0))
        return own(model, tokens, chunk, **more)

    monkeypatch.setattr(BatchModel, "step", counted)
    limit = 280 * 3 * ROW
    together = engine(made, limit)
    assert told(together, asked) == alone
    assert together.stats().cache_bytes <= limit
    assert sum(computed) > sum(len(prompt) + count - 1 for prompt, count, _ in asked), "some was computed again"
    together.close()


def test_greedy_replies_are_the_decoder_s(bundle: Callable[[str], Bundle]) -> None:
    made = bundle("fp32")
    asked, decoder, served = [(prompt, 12, GREEDY) for prompt, _, _ in some(6)], OrtDecoder.open(made, threads=1), engine(made)
    wanted = []
    for prompt, count, _ in asked:
        decoder.reset()
        ids = [int(decoder.prefill(prompt).argmax())]
        while len(ids) < count:
            ids.append(int(decoder.decode(ids[-1:])[-1].argmax()))
        wanted.append(ids)
    assert told(served, asked) == wanted
    served.close()


def test_what_is_kept_costs_its_rows_and_serves_a_conversation_that_goes_on(bundle: Callable[[str], Bundle]) -> None:
    made = bundle("fp32")
    served, decoder = engine(made), OrtDecoder.open(made, threads=1)
    prompt = IDS[:100]
    [reply] = told(served, [(prompt, 20, LIKELIEST)])
    decoder.prefill([*prompt, *reply[:-1]])
    assert served.stats().cache_bytes == ROW * sum(decoder.rows or ()) < 0.9 * ROW * 3 * 119
    following = [*prompt, *reply, *IDS[200:210]]
    [second] = told(served, [(following, 10, LIKELIEST)])
    assert served.stats().reused_tokens == 119
    [changed] = told(served, [([*following[:-1], 5], 10, LIKELIEST)])
    assert served.stats().reused_tokens == 119, "its rows are with what came after, and some have left"
    for ids, said in ((following, second), ([*following[:-1], 5], changed)):
        decoder.reset()
        assert int(decoder.prefill(ids).argmax()) == said[0]
    served.close()
