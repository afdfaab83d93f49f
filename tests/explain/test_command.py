"""``youtu-onnx explain`` and ``demo`` as users run them, and what they print of steps that a trained model would write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli_process import failed, run, run_here
from tests.explain.conftest import Bundles
from tests.explain.test_explanation import explainer
from youtu_onnx.cli import demo
from youtu_onnx.cli.explained import View
from youtu_onnx.explain.explanation import Explanation
from youtu_onnx.explain.steps import Asked
from youtu_onnx.problems import families

ASKED = Asked.fresh("gcd", 2, 1, "en")


@pytest.fixture(scope="module")
def solved(bundles: Bundles) -> Explanation:
    """As a trained model would solve it."""
    one, prompt = explainer(bundles("routed"))
    problem = ASKED.problem
    found = one.explain(prompt(problem.prompt), problem.thought, str(problem.answer), most=500)
    return replace(found, prompt=problem.prompt, asked=ASKED)


def shown(found: Explanation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    View().show(found)
    return capsys.readouterr().out


def test_steps_have_marks_and_a_map_follows(
    solved: Explanation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(solved, capsys, monkeypatch)
    lines = text.split("\n")
    assert lines[0] == f"> {ASKED.problem.prompt}"
    for step in ASKED.problem.thought.split("\n"):
        assert f"  ✓ {step}" in lines
    assert f"  ✓ {ASKED.problem.answer}" in lines
    assert "gcd, level 2, seed 1; the answer is right" in text and "valid, the answer included (gcd)" in text
    assert solved.kept is not None
    cells = [line[13:].rstrip() for line in lines if "%  " in line[:13]]
    assert sum(map(len, cells)) == 3 * solved.kept.tokens and set("".join(cells)) == set("█▒·")
    assert max(len(line) for line in lines if "%  " in line[:13]) < 80
    assert len(shown(solved, capsys, monkeypatch, 300).split("\n")) < len(lines)


def test_a_tampered_step_and_a_wrong_answer_are_marked(
    bundles: Bundles, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, prompt = explainer(bundles("masked"))
    lines = ASKED.problem.thought.split("\n")
    lines[1] += "7"
    found = one.explain(prompt("?"), "\n".join(lines), "12345", most=500)
    text = shown(replace(found, prompt="?", asked=ASKED), capsys, monkeypatch)
    assert f"  ✓ {lines[0]}" in text and f"  ✗ {lines[1]}" in text and "  ✗ 12345" in text
    assert f"the answer is wrong: it is {ASKED.problem.answer!r}" in text and "a masked cache hides tokens" in text
    unknown = one.explain(prompt("?"), "Hm\x1b[2J.", "So.", most=500)
    text = shown(replace(unknown, asked=ASKED), capsys, monkeypatch)
    assert "  — Hm\ufffd[2J." in text and "no verifier knows this notation" in text and "about another one, or none" in text


def test_the_command_prints_json_and_draws(bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles("routed")
    drawn = tmp_path / "kept.svg"
    same = ("--problem", "sudoku", "--seed", "4", "--level", "1", "--language", "zh", "--max-tokens", "6", "--threads", "1")
    done = run("explain", bundle, *same, "--json", "--svg", drawn)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    asked = Asked.fresh("sudoku", 1, 4, "zh")
    assert found["prompt"] == asked.problem.prompt and found["problem"] == asked.to_dict() | {"right": False, "stated": False}
    assert found["steps"]["sound"] is None and len(found["kept"]["open"]) == 3
    assert drawn.read_text(encoding="utf-8").startswith("<svg ")


def test_the_command_prints_what_any_terminal_can(bundles: Bundles) -> None:
    done = run(
        "explain", bundles("masked"), "-p", "-", "--max-tokens", "5", stdin=b"12 + 30", PYTHONUTF8="0", PYTHONIOENCODING="ascii"
    )
    text = done.stdout.decode("ascii")
    assert done.returncode == 0 and "> 12 + 30" in text and "pairs     " in text
    assert "# in sight of all later tokens" in text


def test_a_model_without_gates_is_explained_but_not_drawn(
    nano_bundle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = run_here(capsys, "explain", nano_bundle(), "--prompt", "What is 12 + 30?", "--max-tokens", "60")
    assert code == 0 and "42" in text and "every layer keeps all of them" in text
    svg = tmp_path / "no.svg"
    code, _, said = run_here(capsys, "explain", nano_bundle(), "--prompt", "x", "--svg", svg)
    assert code == 2 and "has no gates" in said and not svg.exists()


@pytest.mark.parametrize("family", families.PLUGGED)
def test_families_that_adapters_are_taught_are_asked_too(
    nano_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str], family: str
) -> None:
    code, text, said = run_here(
        capsys, "explain", nano_bundle(), "--problem", family, "--seed", "3", "--max-tokens", "4", "--json"
    )
    assert code == 0, said
    assert json.loads(text)["prompt"] == Asked.fresh(family, 2, 3, "en").problem.prompt


@pytest.mark.skipif(os.name == "nt", reason="needs a Unix file size limit")
def test_a_picture_that_can_not_be_written_leaves_the_one_that_was_there(bundles: Bundles, tmp_path: Path) -> None:
    drawn = tmp_path / "kept.svg"
    drawn.write_text("before")
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); from youtu_onnx.cli import main; sys.exit(main())"
    )
    asked = ("explain", bundles("routed"), "-p", "12 + 30", "--max-tokens", "4", "--svg", drawn)
    text = failed(run(*asked, program=("-c", limited)), 1)
    assert str(drawn) in text and drawn.read_text() == "before" and list(tmp_path.iterdir()) == [drawn]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a prompt, or a family"),
        (("--prompt", "x", "--problem", "gcd"), "a prompt, or a family"),
        (("--prompt", "x", "--level", "2"), "--level is of a problem"),
        (("--problem", "poems"), "no family of problems 'poems'"),
        (("--problem", "gcd", "--level", "5"), "--level is 5"),
        (("--problem", "gcd", "--language", "fr"), "no problems in 'fr'"),
        (("--prompt", " "), "the prompt is empty"),
    ],
)
def test_a_question_that_can_t_be_is_refused_before_the_bundle_is_opened(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, text = run_here(capsys, "explain", "nowhere", *arguments)
    assert code == 2 and said in text


def test_a_demo_solves_fresh_puzzles_with_a_folder_s_model(bundles: Bundles, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = run_here(capsys, "demo", "--model", bundles("routed"), "--puzzles", "2", "--seed", "11")
    assert code == 0, said
    assert f"> {Asked.fresh('word_problem', demo.LEVEL, 11, 'en').problem.prompt}" in text and "sudoku, level 2, seed 12" in text
    assert "0 of 2 right (--seed 11 asks the same again" in text and "rows      " in text


def test_puzzles_are_asked_of_a_microreason_alone(nano_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--puzzles is for MicroReason" in run_here(capsys, "demo", "--model", nano_bundle(), "--puzzles", "2")[2]
    assert "--puzzles is 0" in run_here(capsys, "demo", "--puzzles", "0")[2]
