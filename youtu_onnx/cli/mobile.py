"""``youtu-onnx mobile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import BundleFolder
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.mobile import footprints, rooms, write_mobile
from youtu_onnx.mobile.tables import tables


def mobile(
    bundle: BundleFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder to write for the Android and iOS samples. Without it, only say what fits which phone.",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="ort (one file, for reduced builds) or onnx (the bundle's graph and data file; less memory).",
        ),
    ] = "ort",
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that this command wrote.")] = False,
    share: Annotated[float, typer.Option(help="Part of a phone's memory that one app may use.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    opened = Bundle.open(bundle, target="mobile")  # of a folder of several bundles
    fits = rooms(opened.manifest, share=share)  # refuses a share that can't be before anything is written
    made = None if output is None else write_mobile(opened, output, form=form, force=force, progress=progress())
    if made is not None:
        fits = rooms(opened.manifest, weights=made.weights, share=share)
    sizes = footprints(opened.manifest, weights=None if made is None else made.weights)
    if as_json:
        console.print_json(
            {
                "bundle": str(bundle),
                "written": None if made is None else made.summary(),
                "footprints": [one.to_dict() for one in sizes],
                "rooms": [one.to_dict() for one in fits],
            }
        )
        return
    if made is not None:
        typer.echo(f"written    {made.path}")
        typer.echo(f"graph      {made.graph}, {made.weights / 1e6:,.1f} MB with its weights; {made.size / 1e6:,.1f} MB in all")
        if made.chat is None:
            console.note("the chat template can't be said without a program for templates: the samples won't chat with it")
    for line in tables(opened.manifest.cache, sizes, fits, share):
        typer.echo(line)
