"""``youtu-onnx demo``: the main job from end to end, on a checkpoint that the package carries."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.chat.model import Model
from youtu_onnx.chat.opening import OpeningOptions, load, open_model
from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.cli import console
from youtu_onnx.cli.explained import View
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import UsageError
from youtu_onnx.explain.explanation import explained, watched, writes_steps
from youtu_onnx.explain.live import LiveSteps
from youtu_onnx.explain.steps import Asked
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import LANGUAGES

if TYPE_CHECKING:
    from youtu_onnx.publish import exporting
else:
    exporting = Deferred("youtu_onnx.publish.exporting", "exporting", extra="export")

QUESTIONS = (
    "What is 47 + 38?",
    "把列表 [4, 9, 1, 7] 从小到大排序。",
    "Tom has 12 apples and buys 7 more. How many apples does he have now?",
)
PUZZLES = ("word_problem", "sudoku", "equation", "knights", "logic", "maze", "gcd", "date", "program", "fraction")
"""Families of which problems are asked, one after the other."""
LEVEL = 2


def demo(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME_OR_DIR", help="youtu-nano, microreason, or a folder with a checkpoint.")
    ] = "youtu-nano",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to put the bundle; one that is there is replaced. Default: the model's name with -int4.",
            show_default=False,
        ),
    ] = None,
    puzzles: Annotated[
        int | None,
        typer.Option(help="How many fresh puzzles a MicroReason solves. Default: 5.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the puzzles: same seed, same puzzles. Default: others each time.", show_default=False)
    ] = None,
) -> None:
    if puzzles is not None and puzzles < 1:
        raise UsageError(f"--puzzles is {puzzles}", hint="choose a number from 1")
    bundle = _bundle(model, output)
    if writes_steps(bundle):
        _solve(bundle, puzzles or 5, random.randrange(10**6) if seed is None else seed)
    else:
        for name, value in (("--puzzles", puzzles), ("--seed", seed)):
            if value is not None:
                raise UsageError(f"{name} is for MicroReason, and this is another model", hint=f"drop {name}")
        _talk(bundle)
    typer.echo(
        f"The bundle is at {bundle.path} ({bundle.size / 1e6:.1f} MB). Talk to it with:\n\n"
        f"    {console.program()} chat {console.quoted(bundle.path)}\n"
    )


def _bundle(model: str, output: Path | None) -> Bundle:
    """An export of the model, verified; or the folder itself, where that is a bundle."""
    if Path(model, names.MANIFEST).is_file():
        return Bundle.open(Path(model))
    folder = output or Path(f"{Path(model).name}-int4")
    console.note(f"Exporting {model} to int4 at {folder} …")
    made = exporting.export(model, folder, precision="int4", force=True, progress=progress())
    if made.parity is not None:
        typer.echo(f"\nverified: {made.parity.summary()}\n")
    return made.bundle


def _talk(bundle: Bundle) -> None:
    with load(bundle.path) as model:
        for question in QUESTIONS:
            typer.echo(f"> {question}")
            for piece in model.stream(question, greedy=True, max_tokens=256):
                typer.echo(console.printable(piece), nl=False)
            typer.echo("\n")


def _solve(bundle: Bundle, count: int, seed: int) -> None:
    """Fresh problems, each line of work with its mark as soon as it is written."""
    right = 0
    with open_model(bundle.path, OpeningOptions(), watched) as model:
        for number in range(count):
            asked = Asked.fresh(PUZZLES[number % len(PUZZLES)], LEVEL, seed + number, LANGUAGES[number % len(LANGUAGES)])
            right += _solve_one(model, asked)
    typer.echo(
        f"{right} of {count} right (--seed {seed} asks the same again; {len(families.MEASURED)} families: explain --help)\n"
    )


def _solve_one(model: Model, asked: Asked) -> bool:
    view, live = View(), LiveSteps()
    view.question(asked.problem.prompt)
    reply = model.reply(asked.problem.prompt, ReplyOptions(greedy=True, max_tokens=512))
    for piece in reply:
        for step in live.push(piece) if piece.kind == "thinking" else ():
            view.step(step)
    for step in live.finish():
        view.step(step)
    found = explained(model, reply, asked.problem.prompt, asked)
    view.answer(found.steps.answer)
    view.facts(found)
    typer.echo("")
    return asked.right(found.answer)
