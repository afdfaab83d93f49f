"""``youtu-onnx generate``: one reply to one prompt."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from youtu_onnx.chat.opening import open_model
from youtu_onnx.cli import console, stdin
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import BundleFolder, System
from youtu_onnx.cli.reply_arguments import ReplyArguments
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.runtimes.ort.decoder import OrtDecoder


def generate(
    bundle: BundleFolder,
    *,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to say to the model; - reads it from stdin.")],
    system: System = None,
    reply: ReplyArguments,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as plain text, without the chat template.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when the reply is complete.")] = False,
    opening: OpeningArguments,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr where the model's nodes run.")] = False,
) -> None:
    if raw and system is not None:
        raise UsageError("--system acts through the chat template, which --raw leaves out", hint="drop one of the two")
    chosen, how = (
        reply.options(raw=raw),
        replace(opening.options(), adapter=reply.adapter),
    )  # before the model is loaded, which may take a while
    text = stdin.text() if prompt == "-" else prompt
    if not (text if raw else text.strip()):
        raise UsageError("the prompt is empty", hint="pass some text with --prompt")
    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    with open_model(bundle, how) as model:
        if verbose:
            _print_placement(model.decoder)
        made = model.reply(text if raw else messages, chosen)
        if as_json:
            console.print_json(made.result.to_dict())
            return
        on_terminal = sys.stdout.isatty()
        for piece in made:
            print(console.printable(piece) if on_terminal else piece, end="", flush=True)
        print(flush=True)


def _print_placement(decoder: Decoder) -> None:
    if not isinstance(decoder, OrtDecoder):
        raise UsageError("the genai runtime does not tell where nodes run", hint="drop --verbose, or use --runtime ort")
    placement = decoder.model.placement
    console.note(f"nodes: {placement.summary()}")
    for stray in placement.unexpected:
        console.note(f"not on {placement.provider}: {stray}")
