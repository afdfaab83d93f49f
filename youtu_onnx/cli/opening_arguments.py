"""Options of commands that open a bundle for generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from youtu_onnx.chat.opening import OpeningOptions
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.cli.options import RequiredProviderArguments, Threads
from youtu_onnx.core.errors import UsageError


@dataclass(frozen=True)
class OpeningArguments(RequiredProviderArguments):
    """How a bundle is opened for generation."""

    runtime: Annotated[str, typer.Option(help="ort (ONNX Runtime) or genai (onnxruntime-genai).")] = "ort"
    threads: Threads = None
    prompt_lookup: Annotated[
        bool,
        typer.Option(
            "--prompt-lookup/--no-prompt-lookup",
            help="Guess tokens from the text so far and try several in a step: faster where replies quote or repeat, "
            "same replies.",
        ),
    ] = False
    draft_tokens: Annotated[
        int | None,
        typer.Option(help="With --prompt-lookup: the most tokens guessed at a time, 1 to 64. Default: 16.", show_default=False),
    ] = None

    def options(self) -> OpeningOptions:
        """
        Raises:
            UsageError: a number that can't be, one that nothing would use, or as :meth:`choice` raises.
        """
        choice, lookup = self.choice(), None
        if self.draft_tokens is not None and not self.prompt_lookup:
            raise UsageError(
                "--draft-tokens has no use without prompt lookup", hint="add --prompt-lookup, or drop --draft-tokens"
            )
        if self.prompt_lookup:
            lookup = PromptLookup() if self.draft_tokens is None else PromptLookup(self.draft_tokens)
        return OpeningOptions(choice, self.runtime, self.threads, lookup)
