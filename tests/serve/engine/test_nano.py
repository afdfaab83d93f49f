"""With a model: youtu-nano replies in the engine as it does alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serve.engine.replies import submit
from youtu_onnx.chat.opening import load
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.turns import TurnsModel
from youtu_onnx.serve.engine.limits import Limits
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.engine.scheduler import Scheduler


@pytest.mark.parametrize("kind", ["slots", "turns"])
def test_youtu_nano_replies_as_it_does_alone(nano_bundle: Callable[..., Path], kind: str) -> None:
    """Turns of a conversation and prompts that begin alike, together in one engine, against one sequence at a time."""
    pytest.importorskip("torch")  # of the export
    said = ["What is 12 + 30?", "What is 12 + 31?", "What is 7 * 8, and why?", "Hello", "Count from 3 to 9."]
    with load(nano_bundle("fp32"), threads=1) as model:
        alone = [model.generate(text, greedy=True, max_tokens=24) for text in said]
        prompts = [model.template.prompt([{"role": "user", "content": text}]).token_ids for text in said]
        end_ids = frozenset(model.bundle.manifest.model.eos_token_ids)
    if kind == "slots":
        engine = open_engine(Bundle.open(nano_bundle("fp32")), limits=Limits(threads=1, max_queue=8, cache_memory=2**28))
        assert engine.stats().places == 8
    else:
        engine = Scheduler(TurnsModel(OrtModel(Bundle.open(nano_bundle("fp32")), threads=1)), cache_limit=2**28)
    for _ in range(2):  # the second time what they begin with is kept
        replies = [submit(engine, prompt, 24, end_ids=end_ids) for prompt in prompts]
        for reply, result in zip(replies, alone, strict=True):
            assert reply.end().reason == result.finish_reason
            assert reply.ids == result.token_ids
    assert engine.stats().reused_tokens >= sum(len(prompt) - 1 for prompt in prompts if len(prompt) > 16)
    engine.close()
