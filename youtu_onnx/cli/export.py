"""``youtu-onnx export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.cli import console


def export(
    model: Annotated[str, typer.Option("--model", "-m", metavar="DIR_OR_HUB_ID",
                                       help="Checkpoint folder, hub id, or youtu-nano.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT",
                                         help="Folder of the bundle; it must not exist or be empty.")],
    precision: Annotated[str, typer.Option("--precision", "-p", help="fp32, fp16, int8 or int4.")] = "int4",
    block_size: Annotated[int | None, typer.Option(help="Weights per scale: 16, 32, 64, 128 or 256; without it, what is "
                                                        "fast on the target: 256 on the CPU, elsewhere 128.")] = None,
    symmetric: Annotated[bool, typer.Option("--symmetric/--asymmetric", help="Without zero points, or with.")] = False,
    int8: Annotated[str, typer.Option(metavar="PATTERNS", help="Keep these matrices at 8 bits, e.g. 'lm_head,*.o_proj'.")] = "",
    target: Annotated[str, typer.Option("--target", "-e", help="Where it will run: cpu, cuda, dml or webgpu.")] = "cpu",
    cache: Annotated[str, typer.Option(help="latent (small), latent-int8 (a quarter of that, faster beyond 4,000 tokens) or "
                                            "expanded (per-head keys and values).")] = "latent",
    max_length: Annotated[int | None, typer.Option(metavar="TOKENS", help="Tokens to reserve where the cache is static (target "
                                                   "dml); without it, 4096 or the model's context.")] = None,
    layout: Annotated[str | None, typer.Option(metavar="NAME", help="Also lay the files out for a library that has its own "
                                                                    "names for them: transformers.js.")] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Prove it equal to PyTorch before publishing.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle, and publish one that failed verification.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the hub's local cache only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Export a checkpoint to a verified ONNX bundle."""
    from youtu_onnx.exporting import export as export_bundle

    patterns = tuple(pattern.strip() for pattern in int8.split(",") if pattern.strip())
    made = export_bundle(
        model, output, precision=precision, block_size=block_size, symmetric=symmetric, int8=patterns, target=target,
        cache=cache, max_length=max_length, layout=layout, verify=verify, force=force, revision=revision, offline=offline,
        progress=console.progress(),
    )
    manifest = made.bundle.manifest
    if as_json:
        typer.echo(json.dumps({
            "bundle": str(made.bundle.path), "bytes": made.bundle.size, "target": manifest.target,
            "recipe": manifest.recipe.to_dict(), "tensors": dict(manifest.tensors),
            "kv_bytes_per_token": manifest.cache.bytes_per_token, "verification": manifest.verification,
        }, ensure_ascii=False))
        return
    typer.echo(f"bundle    {made.bundle.path}")
    typer.echo(f"size      {made.bundle.size / 1e6:,.1f} MB; cache {manifest.cache.bytes_per_token / 1024:,.1f} KiB per token")
    typer.echo(f"verified  {made.parity.summary() if made.parity else 'no (--no-verify)'}")
    typer.echo(f"try it    youtu-onnx chat {console.quoted(made.bundle.path)}")

