"""Steps that are marked while they are written get the marks that they have in the end."""

from __future__ import annotations

from random import Random

import pytest

from youtu_onnx.explain.live import LiveSteps
from youtu_onnx.explain.steps import Asked, checked
from youtu_onnx.problems import families


@pytest.mark.parametrize("family", families.MEASURED)
def test_marks_are_those_of_the_whole_thought_however_it_comes(family: str) -> None:
    rng = Random(f"pieces {family}")
    thought = Asked.fresh(family, 2, 3, "en").problem.thought
    lines = thought.split("\n")
    if len(lines) > 1:
        lines[rng.randrange(1, len(lines))] += "7"
    text, live, found = "\n" + "\n".join(lines) + "\n", LiveSteps(), []
    while text:
        size = rng.randint(1, 9)
        found += live.push(text[:size])
        text = text[size:]
    found += live.finish()
    assert tuple(found) == checked("\n".join(lines), "").lines and live.finish() == []


def test_a_line_is_marked_when_it_is_complete() -> None:
    live = LiveSteps()
    assert live.push("gcd(12,8)") == [] and [step.text for step in live.push("\n12/8")] == ["gcd(12,8)"]
    assert live.push("=1r4") == [] and [(step.text, step.valid) for step in live.push("\n8/4=2r0")] == [("12/8=1r4", True)]
    assert [(step.text, step.valid) for step in live.finish()] == [("8/4=2r0", True)]
    assert [step.valid for step in LiveSteps(known=False).push("gcd(12,8)\n")] == [None]
