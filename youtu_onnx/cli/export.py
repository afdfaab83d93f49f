"""``youtu-onnx export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from youtu_onnx.cli import console

if TYPE_CHECKING:
    from youtu_onnx.publish.export import Exported


def export(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="DIR_OR_HUB_ID", help="Checkpoint folder, hub id, or youtu-nano.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of the bundle; it must not exist or be empty.")
    ],
    precision: Annotated[str, typer.Option("--precision", "-p", help="fp32, fp16, int8 or int4.")] = "int4",
    block_size: Annotated[
        int | None,
        typer.Option(
            help="Weights per scale: 16, 32, 64, 128 or 256; without it, what is fast on the target: 256 on CPUs, elsewhere 128."
        ),
    ] = None,
    symmetric: Annotated[bool, typer.Option("--symmetric/--asymmetric", help="Without zero points, or with.")] = False,
    int8: Annotated[str, typer.Option(metavar="PATTERNS", help="Keep these matrices at 8 bits, e.g. 'lm_head,*.o_proj'.")] = "",
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-e",
            help="Where it will run: cpu, cuda, dml, webgpu or mobile; several, "
            "separated by commas, become a bundle each in one folder.",
        ),
    ] = "cpu",
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="latent (small), latent-int8 (a quarter of that, faster "
            "beyond 4,000 tokens) or expanded (per-head keys and values); without it, latent, "
            "and for mobile latent-int8 where the weights are int4 or int8.",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS",
            help="Tokens to reserve where the cache is static (target dml); without it, 4096 or the model's context.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Also lay the files out for a library that has its own names for them: transformers.js."
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Prove it equal to PyTorch before publishing.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle, and publish one that failed verification.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the hub's local cache only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Export a checkpoint to a verified ONNX bundle."""
    from youtu_onnx.publish.export import export as export_bundle
    from youtu_onnx.publish.export import export_several

    patterns = tuple(pattern.strip() for pattern in int8.split(",") if pattern.strip())
    targets = [one.strip() for one in target.split(",")]
    options: dict[str, Any] = {
        "precision": precision,
        "block_size": block_size,
        "symmetric": symmetric,
        "int8": patterns,
        "cache": cache,
        "max_length": max_length,
        "layout": layout,
        "verify": verify,
        "force": force,
        "revision": revision,
        "offline": offline,
        "progress": console.progress(),
    }
    if len(targets) == 1:
        made = export_bundle(model, output, target=targets[0], **options)
        if as_json:
            typer.echo(json.dumps(_described(made), ensure_ascii=False))
        else:
            _print(made)
        return
    several = export_several(model, output, targets, **options)
    if as_json:
        typer.echo(json.dumps({"folder": str(output), "bundles": [_described(one) for one in several]}, ensure_ascii=False))
        return
    for one in several:
        _print(one)


def _described(made: Exported) -> dict[str, Any]:
    manifest = made.bundle.manifest
    return {
        "bundle": str(made.bundle.path),
        "bytes": made.bundle.size,
        "target": manifest.target,
        "recipe": manifest.recipe.to_dict(),
        "tensors": dict(manifest.tensors),
        "kv_bytes_per_token": manifest.cache.bytes_per_token,
        "verification": manifest.verification,
    }


def _print(made: Exported) -> None:
    per_token = made.bundle.manifest.cache.bytes_per_token
    typer.echo(f"bundle    {made.bundle.path}")
    typer.echo(f"size      {made.bundle.size / 1e6:,.1f} MB; cache {per_token / 1024:,.1f} KiB per token")
    typer.echo(f"verified  {made.parity.summary() if made.parity else 'no (--no-verify)'}")
    typer.echo(f"try it    {console.program()} chat {console.quoted(made.bundle.path)}")
