"""A request that asks for the likeliest tokens, or gives a seed, gets the same reply whatever is beside it and was before it.

The batch here answers by how its rows were computed, too: one by one or in a chunk, in a chunk of few, in a pair or left over. So
an engine that lets company, memory or failures change that writes other tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tests.serve.engine.fake_batch import BYTES, FakeBatch, FakeCache, logits_after
from tests.serve.engine.replies import GREEDY, LIKELIEST, PLENTY, Reply, request
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.serve.engine.prefill import ChunkSizes
from youtu_onnx.serve.engine.scheduler import Scheduler

SIZES = ChunkSizes(smallest=8, largest=33, first=16, seconds=0)
ONE_BY_ONE, FEW, MANY, LEFT_OVER = 1, 2, 3, 100


class SensitiveCache(FakeCache):
    """``how``: for each token, how its row was computed."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)
        self.how: list[int] = []

    def truncate(self, length: int) -> None:
        super().truncate(length)
        del self.how[length:]

    def copy_prefix(self, length: int) -> SensitiveCache:
        copy = super().copy_prefix(length)
        copy.how = self.how[:length]
        return copy


@dataclass
class SensitiveBatch(FakeBatch):
    """``in_pairs``: as a graph that takes all sequences through its products together; else each is alone."""

    in_pairs: bool = True

    def new_cache(self) -> SensitiveCache:
        return SensitiveCache(self.prefix_shareable, self._caches)

    def step(
        self,
        tokens: Mapping[int, tuple[SensitiveCache, int]],
        chunk: Chunk | None = None,
        *,
        batch_invariant: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> np.ndarray:
        super().step(tokens, chunk, batch_invariant=batch_invariant, adapter=adapter)
        rows = len(tokens) + (len(chunk.ids) if chunk else 0)
        stepped: list[SensitiveCache] = []
        for place, (_, (cache, _)) in enumerate(sorted(tokens.items())):
            left_over = self.in_pairs and not batch_invariant and rows % 2 and place == rows - 1
            cache.how.append(ONE_BY_ONE + LEFT_OVER * bool(left_over))
            stepped.append(cache)
        if chunk:
            many = len(chunk.ids) >= SIZES.smallest and chunk.cache.length > SIZES.smallest
            how = [MANY if many else FEW] * len(chunk.ids)
            left_over = rows % 2 and not batch_invariant if self.in_pairs else len(chunk.ids) % 2
            how[-1] += LEFT_OVER * bool(left_over)
            chunk.cache.how += how
            stepped += [chunk.cache] if chunk.logits else []
        logits = [logits_after([*cache.ids, 1000, *cache.how]) for cache in stepped]
        return np.stack(logits) if logits else np.empty((0, self.vocab_size), np.float32)


@dataclass(frozen=True)
class Asked:
    prompt: Sequence[int]
    count: int
    sampling: Sampling


def wish(random: np.random.Generator) -> Sampling:
    return [GREEDY, Sampling(seed=int(random.integers(1000)), temperature=1.5), LIKELIEST, Sampling()][random.integers(4)]


def many(random: np.random.Generator, count: int) -> list[Asked]:
    """Prompts of all lengths that begin alike."""
    stems = [random.integers(0, 90, 100).tolist() for _ in range(3)]
    asked = []
    for _ in range(count):
        stem = stems[random.integers(3)][: random.integers(0, 101)]
        prompt = [*stem, *random.integers(0, 90, random.integers(1, 30)).tolist()]
        asked.append(Asked(prompt, int(random.integers(1, 60)), wish(random)))
    return asked


def following(random: np.random.Generator, asked: Sequence[Asked], told: Sequence[list[int]]) -> list[Asked]:
    """Conversations go on, with other wishes; some are asked once more, some in two ways."""
    more = []
    for one, ids in zip(asked, told, strict=True):
        prompt = [*one.prompt, *ids, *random.integers(0, 90, random.integers(1, 30)).tolist()]
        if len(prompt) > 190 or random.random() < 0.2:
            more.append(Asked(one.prompt, one.count, wish(random)))
            continue
        count = int(random.integers(1, 20))
        more.append(Asked(prompt, count, wish(random)))
        if random.random() < 0.3:
            more.append(Asked([*prompt, 5], count, wish(random)))
    return more[:16]


def replies(engine: Scheduler, asked: Sequence[Asked]) -> list[list[int]]:
    """All asked at once."""
    waiting = []
    for one in asked:
        waiting.append(Reply())
        engine.submit(request(one.prompt, one.count, sampling=one.sampling), waiting[-1])
    for reply in waiting:
        assert reply.end().error is None
    return [reply.ids for reply in waiting]


def alone(one: Asked, *, in_pairs: bool) -> list[int]:
    engine = Scheduler(SensitiveBatch(in_pairs=in_pairs), cache_limit=PLENTY, chunks=SIZES)
    try:
        return replies(engine, [one])[0]
    finally:
        engine.close()


@pytest.mark.parametrize("in_pairs", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_the_same_reply_in_any_company(seed: int, in_pairs: bool) -> None:
    random = np.random.default_rng(seed)
    asked = many(random, 12)
    trouble = np.random.default_rng(seed)

    def fails(sequences: list[list[int]]) -> Exception | None:
        return ResourceError("no memory") if len(sequences) > 1 and trouble.random() < 0.03 else None

    batch = SensitiveBatch(in_pairs=in_pairs, fails=fails, count=int(random.integers(2, 6)))
    engine = Scheduler(batch, cache_limit=int(random.choice([450, 800, 10_000])) * BYTES, chunks=SIZES)
    try:
        for _ in range(4):
            told = replies(engine, asked)
            for one, ids in zip(asked, told, strict=True):
                if request(one.prompt, sampling=one.sampling).repeatable:
                    assert ids == alone(one, in_pairs=in_pairs)
            asked = following(random, asked, told)
        assert len({len(step.slots) for step in batch.done}) > 2, "there was company"
    finally:
        engine.close()


def test_prompts_of_repeatable_requests_share_what_a_prefill_computed_and_no_replies() -> None:
    batch = SensitiveBatch()
    engine = Scheduler(batch, cache_limit=PLENTY, chunks=SIZES)
    try:
        prompt = [*range(60)]
        first, second, third = Reply(), Reply(), Reply()
        engine.submit(request(prompt, 20, sampling=GREEDY), first)
        assert first.end().reused_tokens == 0
        following = [*prompt, *first.ids, *range(30)]
        engine.submit(request(following, 5, sampling=GREEDY), second)
        assert second.end().reused_tokens == 60
        engine.submit(request([*following, 1, 2], 5), third)
        assert third.end().reused_tokens == len(following), "others take what there is"
    finally:
        engine.close()
