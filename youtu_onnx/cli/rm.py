"""``youtu-onnx rm``: take away what ``run`` keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from youtu_onnx.cli import completion, console
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.sizes import decimal
from youtu_onnx.publish.kept import store


def rm(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME…",
            help="As run was told, or a folder's name that list shows.",
            show_default=False,
            autocompletion=completion.kept,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    precision: Annotated[
        str | None, typer.Option("--precision", "-p", help="Only those of this precision.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    if bool(name) == everything:
        raise UsageError("say what to remove: names, or --all", hint="youtu-onnx list says what there is")
    kept = store.all_kept() if everything else [one for each in name or () for one in store.called(each)]
    gone = [one for one in {each.folder: each for each in kept}.values() if precision in (None, one.entry.precision)]
    if name and not gone:
        raise UsageError(f"{' and '.join(name)} is kept, but not in {precision}", hint="youtu-onnx list says what there is")
    removed = []
    for one in gone:
        size = store.remove(one)
        removed.append({"name": one.entry.name, "bundle": str(one.folder), "bytes": size})
        if not as_json:
            typer.echo(f"removed {one.entry.name} ({one.entry.precision}, {decimal(size)})")
    if as_json:
        console.print_json({"removed": removed})
    elif not gone:
        console.note("nothing was kept")
