"""Options of commands that reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from youtu_onnx.chat.reply_options import ReplyOptions


@dataclass(frozen=True)
class ReplyArguments:
    """How replies are written."""

    max_tokens: Annotated[int | None, typer.Option(help="Longest reply in tokens. Default: the model's own.")] = None
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")] = None
    top_k: Annotated[int | None, typer.Option(help="Sample among the k likeliest tokens; 0: all.")] = None
    top_p: Annotated[float | None, typer.Option(help="Sample among the fewest tokens that have this probability together.")] = (
        None
    )
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers: same seed, same reply.")] = None
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")] = False
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking", help="Ask the model to think first, or not to. Default: the chat template's choice."
        ),
    ] = None

    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_DIR",
            help="Which of the bundle's LoRA adapters to reply with, or the folder of another one.",
            show_default=False,
        ),
    ] = None

    def options(self, *, raw: bool = False) -> ReplyOptions:
        """
        Raises:
            UsageError: numbers that can't be.
        """
        return ReplyOptions(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.seed,
            greedy=self.greedy or None,
            raw=raw,
            enable_thinking=self.thinking,
        )
