"""``youtu-onnx inspect``."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import console, options
from youtu_onnx.conformance import TABLES
from youtu_onnx.core.errors import UsageError

if TYPE_CHECKING:
    from youtu_onnx.inspect.bundle import Inspection


def inspect(
    bundle: options.BundleFolder,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-e", help="Also print where this target's provider would run the nodes: cuda, dml, webgpu or web-wasm."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Say what a bundle is: source, precision, sizes, memory at several lengths, operators."""
    from youtu_onnx.inspect.bundle import inspect_bundle

    if target is not None and target not in TABLES:
        raise UsageError(f"no table of kernels for target {target!r}", hint=f"choose one of: {', '.join(TABLES)}")
    found = inspect_bundle(bundle)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=not console.stdout_is_utf8()))
        return
    for name, value in [*_facts(found), *(_placement(found, target) if target else [])]:
        typer.echo(f"{name:<13} {value}".rstrip())


def _facts(found: Inspection) -> list[tuple[str, str]]:
    """Rows of a name and a text; an empty name continues the row above."""
    manifest, a, cache, recipe = found.manifest, found.architecture, found.manifest.cache, found.manifest.recipe
    source = manifest.source.model + (f" at {manifest.source.revision}" if manifest.source.revision else "")
    zero = "symmetric" if recipe.symmetric else "asymmetric"
    quantized = f", blocks of at most {recipe.block_size}, {zero}" if recipe.quantized else ""
    exceptions = f", 8 bits for {', '.join(recipe.int8)}" if recipe.int8 else ""
    q_lora = "none" if a.q_lora_rank is None else a.q_lora_rank
    rows = [
        ("source", source),
        ("created", f"{manifest.created} by youtu-onnx {manifest.tools.get('youtu-onnx', '?')}"),
        ("target", manifest.target),
        ("precision", f"{recipe.precision}{quantized}{exceptions}"),
        (
            "architecture",
            f"{a.num_hidden_layers} layers, hidden {a.hidden_size}, {a.num_attention_heads} heads, q_lora {q_lora}, "
            f"kv_lora {a.kv_lora_rank}, vocabulary {a.vocab_size:,}, context {a.max_position_embeddings:,}",
        ),
        ("parameters", f"{a.parameters:,}"),
        ("weights", f"{_bytes(found.weights)}, {found.bits_per_weight:.2f} bits per parameter"),
        *_under("stored as", [f"{count} × {kind}" for kind, count in manifest.tensors.items()]),
        *_under("files", [f"{_bytes(entry.size):>10}  {name}" for name, entry in manifest.files.items()]),
        (
            "cache",
            f"{cache.form}, {cache.dtype}, {_bytes(cache.bytes_per_token)} per token"
            + ("" if cache.length is None else f", reserved for {cache.length:,} tokens"),
        ),
    ]
    if cache.form == "latent":
        times = found.expanded_bytes_per_token / cache.bytes_per_token
        rows.append(("", f"(per-head keys and values: {_bytes(found.expanded_bytes_per_token)}, {times:.1f} times as much)"))
    rows += _under(
        "memory",
        [
            f"{c.tokens:>7,} tokens: {_bytes(c.memory)} at least (cache {_bytes(c.cache)}), "
            f"{_bytes(c.prompt)} while it reads a prompt"
            for c in found.contexts
        ],
    )
    if found.operators is None:
        rows.append(("operators", "unknown: onnx is not installed (pip install onnx)"))
    else:
        listed = ", ".join(f"{count}\u00a0{name}" for name, count in found.operators.items())  # a count stays with its name
        rows += _under("operators", [line.replace("\u00a0", " ") for line in textwrap.wrap(listed, 96)])
    return [*rows, ("verified", _verdict(found))]


def _placement(found: Inspection, target: str) -> list[tuple[str, str]]:
    placed = found.placement(target)
    if placed is None:
        return [(f"on {target}", "unknown: onnx and onnx-ir are not installed (pip install onnx-ir)")]
    verdict = "takes the graph" if not placed.faults else f"does not take it: {len(placed.faults)} nodes are not as it needs them"
    return [
        (f"on {target}", f"{placed.on_provider} of {len(placed.placements)} nodes; {placed.table.release} {verdict}"),
        *(("", line) for line in placed.summary()),
    ]


def _verdict(found: Inspection) -> str:
    report = found.manifest.verification
    if report is None:
        return "no (exported with --no-verify); check it with: youtu-onnx verify BUNDLE --model CHECKPOINT"
    kl, top1 = report.get("mean_kl"), report.get("top1")
    numbers = f": mean KL {kl:.2g} nats, top-1 {top1:.1%}" if kl is not None and top1 is not None else ""
    return f"at export, {'equal to PyTorch within its limits' if report.get('passed') else 'FAILED'}{numbers}"


def _under(name: str, lines: list[str]) -> list[tuple[str, str]]:
    return [(name if i == 0 else "", line) for i, line in enumerate(lines)]


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"
