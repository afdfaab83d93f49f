"""``youtu-onnx doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import RequiredProviderArguments
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import ProviderError, UsageError, YoutuOnnxError
from youtu_onnx.inspect.diagnosis import diagnose

if TYPE_CHECKING:
    from youtu_onnx.inspect import opened
    from youtu_onnx.runtimes.ort.placement import Placement
else:
    opened = Deferred("youtu_onnx.inspect.opened", "opening a bundle")


def doctor(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="BUNDLE", help="Open this bundle too, and say where its nodes run.", show_default=False),
    ] = None,
    *,
    where: RequiredProviderArguments,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    choice = where.choice()
    if bundle is None and choice:
        raise UsageError("a provider and its options are for a bundle to open", hint="youtu-onnx doctor BUNDLE --provider …")
    found = diagnose()
    placement: Placement | None = None
    failure: YoutuOnnxError | None = None
    if bundle is not None:
        try:
            placement = opened.placement(bundle, choice)
        except YoutuOnnxError as error:  # what was found out about the machine is told all the same
            failure = error
    if as_json:
        tried = {
            "bundle": str(bundle),
            "placement": placement and placement.to_dict(),
            "failure": failure and failure.message,
            "advice": failure and failure.hint,
        }
        console.print_json(found.to_dict() | ({} if bundle is None else tried))
    else:
        for name, value in [*found.rows(), *(opened.rows(placement) if placement is not None else [])]:
            typer.echo(f"{name:<10} {value}")
        typer.echo(f"\n{found.verdict}")
    if failure is not None:
        raise failure
    if not found.can_run:
        raise typer.Exit(ProviderError.exit_code)
