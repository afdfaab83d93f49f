"""``youtu-onnx generate``: one reply to one prompt."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.chat.generation import Piece
from youtu_onnx.chat.opening import open_model
from youtu_onnx.cli import console, stdin
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import BundleFolder, System
from youtu_onnx.cli.prompt_progress import prompt_progress
from youtu_onnx.cli.reply_arguments import ReplyArguments
from youtu_onnx.cli.schema import read_schema
from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.runtimes.ort.decoder import OrtDecoder


def generate(
    bundle: BundleFolder,
    question: Annotated[
        str | None,
        typer.Argument(
            help="What to say to the model; - reads it from stdin, as does a pipe that says nothing here.", show_default=False
        ),
    ] = None,
    *,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="The same as an option.", show_default=False)] = None,
    system: System = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A JSON schema that the answer obeys. Only the answer is printed then.", show_default=False
        ),
    ] = None,
    reply: ReplyArguments,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as plain text, without the chat template.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when the reply is complete.")] = False,
    opening: OpeningArguments,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr where the model's nodes run.")] = False,
) -> None:
    if raw and system is not None:
        raise UsageError("--system acts through the chat template, which --raw leaves out", hint="drop one of the two")
    # before the model is loaded, which may take a while
    rules = None if schema is None else read_schema(schema)
    chosen, how = replace(reply.options(raw=raw), schema=rules), replace(opening.options(), adapter=reply.adapter)
    text = _asked(question, prompt, raw)
    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    with open_model(bundle, how) as model:
        if verbose:
            _print_placement(model.decoder)
        made = model.reply(text if raw else messages, chosen)
        with prompt_progress(made):
            first = next(made, Piece("", "answer"))
        if as_json:
            console.print_json(made.result.to_dict())
        else:
            pieces = itertools.chain((first,), made)
            _print(pieces if rules is None else _answer(pieces))
        if rules is not None and made.result.finish_reason == "length":
            raise YoutuOnnxError(
                f"the reply was cut after {len(made.result.token_ids)} tokens: the answer is not whole",
                hint="allow more with --max-tokens, or let it not think: --no-thinking",
            )


def _asked(question: str | None, prompt: str | None, raw: bool) -> str:
    """
    Raises:
        UsageError: nothing was asked, or twice.
        YoutuOnnxError: stdin can't be read.
    """
    if question is not None and prompt is not None:
        raise UsageError("the prompt is given twice", hint="drop --prompt, or what stands behind the bundle")
    given = prompt if question is None else question
    if given is None and sys.stdin.isatty():
        raise UsageError("the prompt is missing", hint='youtu-onnx generate BUNDLE "What is 47 + 38?"')
    text = stdin.text() if given in (None, "-") else str(given)
    if not (text if raw else text.strip()):
        raise UsageError("the prompt is empty", hint='pass some text: youtu-onnx generate BUNDLE "…", or --prompt')
    return text


def _print(pieces: Iterable[str]) -> None:
    """As they are written."""
    on_terminal = sys.stdout.isatty()
    for piece in pieces:
        print(console.printable(piece) if on_terminal else piece, end="", flush=True)
    print(flush=True)


def _answer(pieces: Iterable[Piece]) -> Iterator[str]:
    """What is no thinking, without the white space before it."""
    begun = False
    for piece in pieces:
        text = str(piece) if begun else piece.lstrip()
        if piece.kind == "answer" and text:
            begun = True
            yield text


def _print_placement(decoder: Decoder) -> None:
    if not isinstance(decoder, OrtDecoder):
        raise UsageError("the genai runtime does not tell where nodes run", hint="drop --verbose, or use --runtime ort")
    placement = decoder.model.placement
    console.note(f"nodes: {placement.summary()}")
    for stray in placement.unexpected:
        console.note(f"not on {placement.provider}: {stray}")
