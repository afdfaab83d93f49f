"""``youtu-onnx demo``: the main job from end to end, on the checkpoint that the package carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.chat.opening import load
from youtu_onnx.cli import console
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.deferred import Deferred

if TYPE_CHECKING:
    from youtu_onnx.publish import exporting
else:
    exporting = Deferred("youtu_onnx.publish.exporting", "exporting", extra="export")

QUESTIONS = (
    "What is 47 + 38?",
    "把列表 [4, 9, 1, 7] 从小到大排序。",
    "Tom has 12 apples and buys 7 more. How many apples does he have now?",
)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to put the bundle; one that is there is replaced.")
    ] = Path("youtu-nano-int4"),
) -> None:
    console.note(f"Exporting youtu-nano to int4 at {output} …")
    made = exporting.export("youtu-nano", output, precision="int4", force=True, progress=progress())
    if made.parity is not None:
        typer.echo(f"\nverified: {made.parity.summary()}\n")
    with load(made.bundle.path) as model:
        for question in QUESTIONS:
            typer.echo(f"> {question}")
            for piece in model.stream(question, greedy=True, max_tokens=256):
                typer.echo(console.printable(piece), nl=False)
            typer.echo("\n")
    typer.echo(
        f"The bundle is at {made.bundle.path} ({made.bundle.size / 1e6:.1f} MB). Talk to it with:\n\n"
        f"    {console.program()} chat {console.quoted(made.bundle.path)}\n"
    )
