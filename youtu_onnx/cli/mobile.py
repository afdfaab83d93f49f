"""``youtu-onnx mobile``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import console, options

if TYPE_CHECKING:
    from youtu_onnx.core.bundle import Manifest


def mobile(
    bundle: options.BundleFolder,
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
    """Write a bundle for phones, and say how much memory it takes there."""
    from youtu_onnx.core.bundle import Bundle
    from youtu_onnx.mobile import footprints, rooms, write_mobile

    opened = Bundle.open(bundle, target="mobile")  # of a folder of several bundles
    fits = rooms(opened.manifest, share=share)
    made = None if output is None else write_mobile(opened, output, form=form, force=force, progress=console.progress())
    weights = None if made is None else made.weights
    if made is not None:
        fits = rooms(opened.manifest, weights=weights, share=share)
    sizes = footprints(opened.manifest, weights=weights)
    if as_json:
        written = (
            None
            if made is None
            else {"folder": str(made.path), "graph": made.graph, "bytes": made.size, "chat": made.chat is not None}
        )
        typer.echo(
            json.dumps(
                {
                    "bundle": str(bundle),
                    "written": written,
                    "footprints": [one.to_dict() for one in sizes],
                    "rooms": [one.to_dict() for one in fits],
                },
                ensure_ascii=not console.stdout_is_utf8(),
            )
        )
        return
    if made is not None:
        typer.echo(f"written    {made.path}")
        typer.echo(f"graph      {made.graph}, {made.weights / 1e6:,.1f} MB with its weights; {made.size / 1e6:,.1f} MB in all")
        if made.chat is None:
            console.note("the chat template can't be said without a program for templates: the samples won't chat with it")
    for line in _memory(opened.manifest, sizes, fits, share):
        typer.echo(line)


def _memory(manifest: Manifest, sizes: tuple, fits: tuple, share: float) -> list[str]:
    """Two tables: memory by length, and the longest sequence by phone; a column for each kind of cache."""
    from youtu_onnx.mobile.fit import STEP

    own = manifest.cache.dtype
    kinds = list(dict.fromkeys(one.cache_dtype for one in fits))
    head = "".join(f"{f'{kind} cache':>18}" for kind in kinds)
    lines = [f"{'memory':<10}{'tokens':>10}{head}   (weights, cache twice, a step of {STEP} tokens)"]
    for tokens in dict.fromkeys(one.tokens for one in sizes):
        cells = [next(one.total for one in sizes if (one.tokens, one.cache_dtype) == (tokens, kind)) for kind in kinds]
        lines.append(f"{'':<10}{tokens:>10,}" + "".join(f"{cell / 1e9:>15.2f} GB" for cell in cells))
    lines.append(f"{'fits':<10}{'phone':>10}{head}   (tokens in {share:.0%} of its memory)")
    for ram in dict.fromkeys(one.ram for one in fits):
        cells = [next(one.tokens for one in fits if (one.ram, one.cache_dtype) == (ram, kind)) for kind in kinds]
        lines.append(f"{'':<10}{ram / 1e9:>7.0f} GB" + "".join(f"{f'{cell:,}' if cell else 'no':>18}" for cell in cells))
    other = [kind for kind in kinds if kind != own]
    if other:
        form = "latent-int8" if other[0] == "uint8" else "latent"
        lines.append(f"{'':<10}this bundle's cache is {own}; export with --cache {form} for the other")
    return lines
