"""``youtu-onnx explain``: a reply in checked steps, and what each layer kept of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.chat.opening import OpeningOptions, open_model
from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.cli import console, stdin
from youtu_onnx.cli.explained import View
from youtu_onnx.cli.options import BundleFolder, RequiredProviderArguments, Threads
from youtu_onnx.core import atomic
from youtu_onnx.core.errors import UsageError
from youtu_onnx.explain import explanation, picture
from youtu_onnx.explain.steps import Asked
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import LANGUAGES


def explain(
    bundle: BundleFolder,
    *,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", help="What to say to the model; - reads it from stdin.", show_default=False),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY", help=f"Ask a fresh problem instead: {', '.join(families.GENERATORS)}.", show_default=False
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(help="Of the problem, 1 to 4; 4 is longer and harder than trained. Default: 2.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the problem: same seed, same problem. Default: another one each time.", show_default=False),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Of the problem: en or zh. Default: en.", show_default=False)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest reply in tokens. Default: the model's own.")] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_DIR",
            help="Which of the bundle's LoRA adapters to reply with, or the folder of another one.",
            show_default=False,
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also draw what the layers kept.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    opening: RequiredProviderArguments,
    threads: Threads = None,
) -> None:
    asked, text = _question(prompt, problem, level, seed, language)
    options = ReplyOptions(max_tokens=max_tokens, greedy=True)
    how = OpeningOptions(opening.choice(), threads=threads, adapter=adapter)
    with open_model(bundle, how, explanation.watched) as model:
        if svg is not None:
            picture.check_gates(model.bundle)
        found = explanation.explain(model, text, options, asked)
    if svg is not None:
        atomic.write_text(svg, picture.svg(found))
    if as_json:
        console.print_json(found.to_dict())
        return
    View().show(found)
    if svg is not None:
        console.note(f"drawn in {svg}")


def _question(
    prompt: str | None, problem: str | None, level: int | None, seed: int | None, language: str | None
) -> tuple[Asked | None, str]:
    """The problem, where one is asked, and what is said to the model.

    Raises:
        UsageError: neither prompt nor problem, both, or a choice that can't be or changes nothing.
    """
    if (prompt is None) == (problem is None):
        raise UsageError(
            "say what to explain: a prompt, or a family of problems",
            hint='pass --prompt "What is 47 + 38?", or --problem arithmetic',
        )
    if problem is not None:
        asked = fresh(problem, 2 if level is None else level, seed, language or LANGUAGES[0])
        return asked, asked.problem.prompt
    for name, value in (("--level", level), ("--seed", seed), ("--language", language)):
        if value is not None:
            raise UsageError(f"{name} is of a problem, and a prompt is given", hint=f"drop {name}, or pass --problem FAMILY")
    text = stdin.text() if prompt == "-" else str(prompt)
    if not text.strip():
        raise UsageError("the prompt is empty", hint="pass some text with --prompt")
    return None, text


def fresh(family: str, level: int, seed: int | None, language: str) -> Asked:
    """A problem that training never shows; another one each time where there is no seed.

    Raises:
        UsageError: there is no such family, level or language.
    """
    if family not in families.GENERATORS:
        raise UsageError(f"no family of problems {family!r}", hint=f"choose one of: {', '.join(families.GENERATORS)}")
    if not 1 <= level <= families.HARDER:
        raise UsageError(f"--level is {level}", hint=f"choose one from 1 to {families.HARDER}")
    if language not in LANGUAGES:
        raise UsageError(f"no problems in {language!r}", hint=f"choose one of: {', '.join(LANGUAGES)}")
    return Asked.fresh(family, level, random.randrange(10**6) if seed is None else seed, language)
