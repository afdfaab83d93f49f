"""A reply obeys its constraint, and its failure is its own."""

from __future__ import annotations

import numpy as np
import pytest

from tests.serve.engine.fake_batch import VOCABULARY, greedy
from tests.serve.engine.replies import Open, Rule, submit
from youtu_onnx.core.errors import UsageError, YoutuOnnxError


def test_a_constraint_is_obeyed_and_told(opened: Open) -> None:
    engine, _ = opened()
    rule = Rule()
    reply = submit(engine, [1], 14, constraint=rule)
    assert reply.end().reason == "length"
    assert [id_ % 7 for id_ in reply.ids] == [*range(7), *range(7)]
    assert rule.accepted == reply.ids


def test_a_complete_constraint_allows_the_end_token_alone(opened: Open) -> None:
    class Complete(Rule):
        def allowed(self) -> np.ndarray:
            return super().allowed() if len(self.accepted) < 3 else np.arange(VOCABULARY) == 96

    engine, _ = opened()
    rule = Complete()
    reply = submit(engine, [1], 14, constraint=rule, end_ids=frozenset({96}))
    assert reply.end().reason == "stop"
    assert rule.accepted == reply.ids and len(reply.ids) == 3


@pytest.mark.parametrize("where", ["allowed", "accept"])
@pytest.mark.parametrize("error", [RuntimeError("no way"), UsageError("no way"), ValueError("no way")])
def test_a_constraints_failure_ends_its_own_reply_only(opened: Open, where: str, error: Exception) -> None:
    engine, batch = opened()
    with batch.held():
        reply = submit(engine, [1], 10, constraint=Rule((where, error)))
        other = submit(engine, [2], 10)
    ended = reply.end()
    assert ended.reason == "cancelled" and "no way" in str(ended.error)
    assert isinstance(ended.error, type(error) if isinstance(error, YoutuOnnxError) else YoutuOnnxError)
    assert ended.completion_tokens == 2
    assert other.end().error is None and other.ids == greedy([2], 10)


def test_a_mask_that_allows_nothing_ends_its_own_reply_only(opened: Open) -> None:
    class Nothing(Rule):
        def allowed(self) -> np.ndarray:
            return np.zeros(VOCABULARY, bool)

    engine, _ = opened()
    assert isinstance(submit(engine, [1], constraint=Nothing()).end().error, UsageError)
    assert submit(engine, [2], 3).end().error is None
