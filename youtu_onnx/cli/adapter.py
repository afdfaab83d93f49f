"""``youtu-onnx adapter``."""

from __future__ import annotations

from typing import Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import BundleFolder
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.adapters.choice import HOT, AdapterChoice
from youtu_onnx.families.adapters.inputs import refuse_without_inputs
from youtu_onnx.publish import adapters


def adapter(
    bundle: BundleFolder,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DIR", help="Put a LoRA in PEFT's format into the bundle; may be repeated.", show_default=False
        ),
    ] = None,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Take one out of the bundle.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    if add and remove is not None:
        raise UsageError("--add and --remove are two things to do", hint="pass one of them")
    if add:
        found = adapters.add_adapters(bundle, AdapterChoice.parse(add, HOT).given)[0]
    elif remove is not None:
        found = adapters.remove_adapter(bundle, remove)[0]
    else:
        found = Bundle.open(bundle)
        refuse_without_inputs(found)
    listed = [(one, found.manifest.files[one.file].size) for one in found.manifest.adapters or ()]
    if as_json:
        shown = [{"name": one.name, "bytes": size, "sha256": one.sha256} for one, size in listed]
        console.print_json({"bundle": str(bundle), "adapters": shown})
        return
    for one, size in listed:
        typer.echo(f"{one.name:<24} {size / 1e6:,.1f} MB")
    if not listed:
        typer.echo("no adapters: --add [NAME=]DIR puts one into the bundle")
