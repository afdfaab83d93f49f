"""A failure is that of its own sequence, and the engine goes on."""

from __future__ import annotations

import numpy as np
import pytest

from tests.serve.engine import fake_batch
from tests.serve.engine.fake_batch import BYTES, FIRST, PATIENCE, greedy, logits_after
from tests.serve.engine.replies import Open, Rule, submit
from youtu_onnx.core.errors import BundleError, ResourceError, YoutuOnnxError
from youtu_onnx.serve.engine.engine import Draining


@pytest.mark.parametrize("in_turns", [False, True])
@pytest.mark.parametrize("guilty", [[2, 2], [2] * 20])
def test_a_failing_step_fails_the_guilty_sequence_only(opened: Open, in_turns: bool, guilty: list[int]) -> None:
    def fails(sequences: list[list[int]]) -> Exception | None:
        return ResourceError("too much") if any(ids[0] == 2 and len(ids) > len(guilty) + 2 for ids in sequences) else None

    engine, batch = opened(fails=fails, in_turns=in_turns)
    with batch.held():
        replies = {one: submit(engine, [one] * len(guilty), 12) for one in (1, 2, 3, 4)}
    ended = replies.pop(2).end()
    assert isinstance(ended.error, ResourceError) and ended.reason == "cancelled"
    assert ended.completion_tokens == 3
    for one, reply in replies.items():
        assert reply.end().error is None and reply.ids == greedy([one] * len(guilty), 12)


def test_a_prompt_that_fails_does_not_hurt_replies(opened: Open) -> None:
    engine, batch = opened(
        fails=lambda sequences: BundleError("bad") if any(ids[0] == 2 and len(ids) > 9 for ids in sequences) else None
    )
    with batch.held():
        good, bad = submit(engine, [1] * 4, 12), submit(engine, [2] * 30, 12)
    assert isinstance(bad.end().error, BundleError) and not bad.tokens
    assert good.end().error is None and good.ids == greedy([1] * 4, 12)


def test_an_error_that_somebody_keeps_keeps_no_cache(opened: Open) -> None:
    def fails(sequences: list[list[int]]) -> Exception | None:
        if not any(len(ids) > 35 for ids in sequences):
            return None
        error = ResourceError("too much")
        error.__cause__ = MemoryError("of the runtime")
        return error

    engine, batch = opened(fails=fails)
    ended = submit(engine, [1] * 30, 12).end()
    assert isinstance(ended.error.__cause__, MemoryError)
    assert submit(engine, [2], 3).end().error is None, "the engine is done with the first one"
    assert batch.done[-1].memory == FIRST * BYTES
    assert ended.error.__traceback__ is None


def test_logits_that_are_no_numbers_end_their_own_reply_only(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_batch, "logits_after", lambda ids: logits_after(ids) * (np.nan if ids[0] == 2 else 1))
    engine, _ = opened()
    good, bad = submit(engine, [1], 8), submit(engine, [2], 8)
    assert isinstance(bad.end().error, BundleError)
    assert good.end().error is None and good.ids == greedy([1], 8)


def test_a_mistake_of_ours_ends_what_runs_and_the_engine_goes_on(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    faults = [ZeroDivisionError("a mistake")]
    engine, batch = opened(count=2, fails=lambda sequences: faults.pop() if faults and len(sequences) == 2 else None)
    with batch.held():
        replies = [submit(engine, [one], 5) for one in range(2)]
        batch.reached()
        waiting = submit(engine, [3], 5)
    for reply in replies:
        ended = reply.end()
        assert type(ended.error) is YoutuOnnxError and "ZeroDivisionError: a mistake" in str(ended.error)
    assert waiting.end().error is None and waiting.ids == greedy([3], 5)
    assert "a step failed" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_whose_thread_ended_takes_no_requests(opened: Open) -> None:
    class End(BaseException):
        pass

    engine, _ = opened()
    reply = submit(engine, [1], 10, constraint=Rule(("accept", End())))
    assert reply.end().reason == "cancelled"
    assert engine.wait_for(lambda stats: not stats.taking, PATIENCE)  # so that /health says 503
    with pytest.raises(Draining):
        submit(engine, [2])
