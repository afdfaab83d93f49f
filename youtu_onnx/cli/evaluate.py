"""``youtu-onnx evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.chat.opening import open_model
from youtu_onnx.cli import console
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import BundleFolder
from youtu_onnx.cli.progress import progress
from youtu_onnx.evaluate.evaluation import evaluate as evaluate_model
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems


def evaluate(
    bundle: BundleFolder,
    *,
    problems: Annotated[
        Path | None, typer.Option(help="JSON Lines of problems; the default is youtu-nano's held-out set.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest reply in tokens.")] = 160,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, wrong answers included.")] = False,
    opening: OpeningArguments,
) -> None:
    how = opening.options()
    listed = read_problems(problems or HELD_OUT)
    with open_model(bundle, how) as model:
        made = evaluate_model(model, listed, max_tokens=max_tokens, progress=progress())
    if as_json:
        console.print_json(made.to_dict())
        return
    for family in made.families:
        typer.echo(f"{family:14s} {_share(*made.score(family=family))}")
    for language in made.languages:
        typer.echo(f"{language:14s} {_share(*made.score(language=language))}")
    typer.echo(f"{'all':14s} {_share(*made.score())}")


def _share(right: int, total: int) -> str:
    return f"{right:4d} of {total:4d}  {right / total:6.1%}"
