"""MicroReason's problems: what counts as right and as sound, how sure a share is, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_process import run_here
from tests.explain.conftest import Bundles, bundles, checkpoint  # noqa: F401 (fixtures)
from youtu_onnx.chat.result import Result, Timing, Usage
from youtu_onnx.evaluate.interval import wilson
from youtu_onnx.evaluate.reasoning import Reasoning, marked, problems
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem


def reply(thinking: str, answer: str, *, closed: bool = True) -> Result:
    text = f"<think>\n{thinking}\n" + (f"</think>\n\n{answer}" if closed else "")
    return Result(text, thinking, answer, [], "stop", Usage(1, 1), Timing(0.0, 0.0, 0))


def test_right_and_sound_are_counted_by_family() -> None:
    asked = problems(3, seed=5)
    assert [one.family for one in asked[::3]] == list(families.MEASURED)
    assert asked == problems(3, seed=5) != problems(3, seed=6)
    outcomes = [marked(one, reply(one.thought, f" {one.answer}\n")) for one in asked]
    found = Reasoning(tuple(outcomes))
    assert found.score() == found.score("gcd").__class__(len(asked), len(asked), 1.0) and found.to_dict()["wrong"] == []
    wrong = marked(asked[0], reply(asked[0].thought, "no"))
    assert not wrong.right and 0 < wrong.sound < 1
    cut = marked(asked[0], reply(asked[0].thought, "", closed=False))
    assert not cut.right and cut.sound == 0
    mixed = Reasoning((wrong, *outcomes[1:])).to_dict()
    family = mixed["families"][asked[0].family]
    assert (family["right"], family["total"]) == (2, 3) and family["interval"][0] < 2 / 3 < family["interval"][1]
    assert mixed["wrong"] == [{"id": asked[0].key, "prompt": asked[0].prompt, "expected": asked[0].answer, "reply": "no"}]


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (485, 500, 0.9511, 0.9817), (1, 2, 0.0945, 0.9055), (0, 0, 0.0, 1.0)],
)
def test_intervals_are_wilson_s(right: int, total: int, low: float, high: float) -> None:
    """By Wilson's formula of 1927, worked out elsewhere."""
    assert wilson(right, total) == pytest.approx((low, high), abs=1e-4)


def test_harder_problems_are_those_of_level_four() -> None:
    asked: list[Problem] = problems(1, seed=0, level=families.HARDER)
    assert asked == [families.held_out(name, 1, 0, families.HARDER)[0] for name in families.MEASURED]


def test_no_problem_is_asked_twice() -> None:
    """Of few, each comes in several wordings; more than half of these would be repeats."""
    asked = [one for one in problems(70, seed=0, level=1) if one.family == "gcd"]
    assert len({one.key for one in asked}) == len(asked) and len({one.key for one in families.held_out("gcd", 120, 0, 1)}) < 60


def test_the_command_asks_a_microreason_its_own_problems(
    bundles: Bundles,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, text, said = run_here(
        capsys, "evaluate", bundles("routed"), "--count", "1", "--max-tokens", "4", "--json", "--threads", "1"
    )
    assert code == 0, said
    found = json.loads(text)
    assert found["total"] == len(families.MEASURED) and found["families"].keys() == set(families.MEASURED)
    assert found["right"] == 0 and len(found["wrong"]) == found["total"] and len(found["interval"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tasks", "poems"), "no tasks 'poems'"),
        (("--count", "5"), "--count is of microreason's problems"),
        (("--tasks", "microreason", "--problems", "x.jsonl"), "--problems says which"),
        (("--tasks", "microreason", "--text", "README.md"), "two measurements"),
        (("--tasks", "microreason", "--count", "0"), "0 problems of each family"),
        (("--tasks", "microreason", "--level", "9"), "--level is 9"),
    ],
)
def test_choices_that_can_t_be_are_refused(
    nano_bundle: Callable[..., Path], arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, text = run_here(capsys, "evaluate", nano_bundle(), *arguments)
    assert code == 2 and said in text
