"""Steps get the marks that their verifiers give, and none where nobody knows the notation."""

from __future__ import annotations

from random import Random

import pytest

from youtu_onnx.explain.steps import Asked, checked
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import LANGUAGES


@pytest.mark.parametrize("family", families.MEASURED)
def test_a_solved_problem_is_sound_and_a_tampered_one_is_not(family: str) -> None:
    rng = Random(f"explain {family}")
    for number in range(6):
        asked = Asked.fresh(family, 1 + number % 4, number, LANGUAGES[number % 2])
        thought, answer = asked.problem.thought, str(asked.problem.answer)
        found = checked(thought, f"{answer}\n")
        assert found.family == family and found.sound == 1.0
        assert [step.text for step in found.lines] == thought.split("\n") and found.answer.text == answer
        assert asked.right(answer) and asked.states(thought)
        wrong = checked(thought, f"{answer}7")
        assert (wrong.answer.mark, {step.mark for step in wrong.lines}) == ("✗", {"✓"})
        lines = thought.split("\n")
        if len(lines) > 1:
            at = rng.randrange(1, len(lines))
            lines[at] += "7"
            tampered = checked("\n".join(lines), answer)
            assert tampered.lines[at].mark == "✗" and tampered.sound is not None and tampered.sound < 1


def test_what_no_verifier_knows_has_no_mark() -> None:
    found = checked("First I think.\n\nThen I know.", "It is 4.")
    assert [step.mark for step in (*found.lines, found.answer)] == ["—", "—", "—"]
    assert found.family is None and found.sound is None and len(found.lines) == 2
    assert checked("", "").lines == ()


def test_another_model_s_lines_are_not_judged_though_they_look_alike() -> None:
    thought = "471+382:1+2=3,7+8=15,4+3+1=8"  # youtu-nano's, whose sums end without their result
    assert checked(thought, "853").lines[0].valid is False
    assert checked(thought, "853", known=False).lines[0].valid is None


def test_a_thought_about_another_problem_is_told_from_one_about_this() -> None:
    asked = Asked.fresh("gcd", 2, 5, "en")
    other = Asked.fresh("gcd", 2, 6, "en")
    assert asked.states(asked.problem.thought) and not asked.states(other.problem.thought) and not asked.states("")
    sound = checked(other.problem.thought, str(other.problem.answer))
    assert sound.sound == 1.0 and not asked.right("nothing")
