"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that youtu-onnx export wrote.")]
Provider = Annotated[str | None, typer.Option(
    help="Where to run: cpu, cuda, dml, webgpu, … Default: what the bundle was exported for.")]
Runtime = Annotated[str, typer.Option(help="ort (ONNX Runtime) or genai (onnxruntime-genai).")]
Threads = Annotated[int | None, typer.Option(help="Threads on the CPU. Default: one per physical core.")]
MaxTokens = Annotated[int | None, typer.Option(
    help="Longest reply in tokens. Default: the model's own.")]
Temperature = Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")]
TopK = Annotated[int | None, typer.Option(help="Sample among the k likeliest tokens; 0: all.")]
TopP = Annotated[float | None, typer.Option(
    help="Sample among the fewest tokens that have this probability together.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the random numbers: same seed, same reply.")]
Greedy = Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")]
System = Annotated[str | None, typer.Option(help="A system message that opens the conversation.")]
Thinking = Annotated[bool | None, typer.Option(
    "--thinking/--no-thinking", help="Ask the model to think first, or not to. Default: the chat template's choice.")]
