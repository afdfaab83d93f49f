"""What replies are worth, and that no trick is worth anything."""

from random import Random

import pytest

from training.common.conversation import reply_text
from training.microreason import tasks
from training.microreason.reward import CORRECT, EFFICIENT, SOUND, reward, statement
from youtu_onnx.problems import families


def problems(family, count=30):
    rng = Random(f"reward {family}")
    return [tasks.sample(rng, 1.0, family) for _ in range(count)]


def reply(thought, answer):
    return f"<think>\n{thought}\n</think>\n\n{answer}"


def one(family, lines=3):
    """A problem whose thought has that many lines or more."""
    return next(p for p in problems(family, 300) if p.thought.count("\n") + 1 >= lines)


@pytest.mark.parametrize("family", families.MEASURED)
def test_a_solvers_own_reply_is_worth_everything(family):
    for problem in problems(family):
        found = reward(problem, reply_text(problem))
        assert found.total == pytest.approx(1.0) and not found.faults, (problem, found)
        assert reward(problem, reply_text(problem) + "<|end_of_text|>") == found


def test_the_parts_weigh_what_the_description_says():
    assert (CORRECT, EFFICIENT, SOUND) == (0.6, 0.3, 0.1)
    problem = one("gcd")
    lines = problem.thought.split("\n")
    wrong = reward(problem, reply(problem.thought, "0"))
    assert wrong.correct == 0 and wrong.efficient == 1 and wrong.sound == pytest.approx(len(lines) / (len(lines) + 1))
    assert wrong.total == pytest.approx(0.3 + 0.1 * wrong.sound)


@pytest.mark.parametrize("family", families.MEASURED)
def test_repeating_a_step_gains_nothing(family):
    for problem in problems(family, 10):
        lines = problem.thought.split("\n")
        for at in range(len(lines)):
            found = reward(problem, reply("\n".join([*lines[: at + 1], lines[at], *lines[at + 1 :]]), problem.answer))
            assert found.efficient <= 0.5 and found.sound < 1


def test_a_short_chain_is_not_filled_up_by_repeating_its_steps():
    problem = one("base", 5)
    lines = problem.thought.split("\n")
    short = reward(problem, reply("\n".join(lines[:2]), problem.answer))
    filled = reward(problem, reply("\n".join([*lines[:2], *[lines[1]] * (len(lines) - 2)]), problem.answer))
    assert filled.efficient < short.efficient and filled.total < short.total and "repeated" in filled.faults


def test_a_step_may_come_as_often_as_the_reference_has_it():
    for problem in problems("program", 300):
        lines = problem.thought.split("\n")
        if len(set(lines)) < len(lines):
            assert reward(problem, reply_text(problem)).total == pytest.approx(1.0)
            return
    raise AssertionError("no program has the same line twice")


def test_empty_steps_gain_nothing():
    problem = one("gcd")
    lines = problem.thought.split("\n")
    for filler in ("", "  ", "\t"):
        found = reward(problem, reply("\n".join([*lines[:1], *[filler] * (len(lines) - 1)]), problem.answer))
        assert "empty" in found.faults and found.correct == 0
        assert found.efficient <= 1 / len(lines) and found.total < 0.3


@pytest.mark.parametrize("family", families.MEASURED)
def test_an_answer_without_its_steps_is_copied_or_guessed(family):
    for problem in problems(family, 10):
        first, *rest = problem.thought.split("\n")
        if not rest:
            continue
        for thought in ("", first, f"{first}\n{problem.answer}"):
            found = reward(problem, reply(thought, problem.answer))
            assert found.correct == 0 and found.total < 0.3, (problem, thought, found)
        assert "unsupported" in reward(problem, reply(first, problem.answer)).faults
    assert reward(problem, problem.answer).total == 0  # no thought at all


@pytest.mark.parametrize("family", families.MEASURED)
def test_the_steps_of_another_problem_are_worth_nothing(family):
    """An easier problem solved soundly, were its answer even the right one."""
    first, *others = problems(family)
    for other in others:
        if statement(other.thought, family) != statement(first.thought, family):
            for answer in (first.answer, other.answer):
                found = reward(first, reply(other.thought, answer))
                assert found.total == 0 and found.faults == ("statement",)


def test_a_statement_that_is_the_answer_already_is_another_problem():
    problem = one("word_problem", 2)
    assert families.verified(f"story {problem.answer}", problem.answer, "word_problem")[-1].valid  # sound, about nothing
    assert reward(problem, reply(f"story {problem.answer}", problem.answer)).total == 0


def test_invalid_steps_do_not_count_as_steps():
    problem = one("base", 5)
    lines = problem.thought.split("\n")
    found = reward(problem, reply("\n".join([lines[0], *["1+1=3"] * (len(lines) - 1)]), problem.answer))
    assert found.correct == 0 and found.efficient < 1 / len(lines) and "invalid" in found.faults


@pytest.mark.parametrize(
    "text",
    [
        "{answer}",
        "<think>\n{thought}\n{answer}",
        "<think>\n{thought}\n</think>\n\n0</think>\n\n{answer}",
        "<think>\n{thought}\n</think>\n\n<think>\n{thought}\n</think>\n\n{answer}",
        "<think>{thought}</think>{answer}",
        "",
    ],
)
def test_another_form_is_worth_nothing(text):
    problem = one("gcd")
    found = reward(problem, text.format(thought=problem.thought, answer=problem.answer))
    assert found.total == 0 and found.faults == ("form",)


def test_a_reply_that_never_ends_is_worth_nothing():
    problem = one("gcd")
    assert reward(problem, reply_text(problem), finished=False).total == 0


def test_fewer_and_more_steps_are_worth_less():
    problem = one("sudoku", 5)
    lines = problem.thought.split("\n")
    fewer = reward(problem, reply("\n".join(lines[:-1]), problem.answer))
    assert fewer.efficient == 0.5 and fewer.sound < 1
