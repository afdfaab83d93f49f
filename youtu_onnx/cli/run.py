"""``youtu-onnx run``: from the name of a model to an answer."""

from __future__ import annotations

from typing import Annotated

import typer

from youtu_onnx.cli import completion
from youtu_onnx.cli.chat import chat
from youtu_onnx.cli.generate import generate
from youtu_onnx.cli.made import MakingArguments, bundle_called
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import System
from youtu_onnx.cli.reply_arguments import ReplyArguments


def run(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A hub id (tencent/Youtu-LLM-2B), youtu-nano, microreason, a checkpoint's folder or a bundle's.",
            autocompletion=completion.models,
        ),
    ],
    question: Annotated[
        str | None, typer.Argument(help="Answer this and end. Default: a conversation.", show_default=False)
    ] = None,
    *,
    system: System = None,
    making: MakingArguments,
    reply: ReplyArguments,
    opening: OpeningArguments,
) -> None:
    reply.options()
    opening.options()  # what can't be is refused before anything is made
    bundle = bundle_called(model, making)
    if question is None:
        chat(bundle, system=system, reply=reply, opening=opening)
    else:
        generate(bundle, question, system=system, reply=reply, opening=opening)
