"""An inspection as text: rows of a name and a value; an empty name continues the row above."""

from __future__ import annotations

import textwrap

from youtu_onnx.inspect.inspection import Inspection

Row = tuple[str, str]

LORAS = ("q_lora", "kv_lora")
"""Low-rank projections that some families have: their ranks are told."""


def facts(found: Inspection) -> list[Row]:
    """Everything but where another provider would run the nodes."""
    return [*_origin(found), *_model(found), *_cache(found), *_operators(found), ("verified", _verdict(found))]


def conformance(found: Inspection, table: str) -> list[Row]:
    """Where a provider would run the nodes, by the name of its table of kernels."""
    nodes = found.conformance(table)
    if nodes is None:
        return [(f"on {table}", "unknown: onnx and onnx-ir are not installed (pip install onnx-ir)")]
    verdict = "takes the graph" if not nodes.faults else f"does not take it: {len(nodes.faults)} nodes are not as it needs them"
    return [
        (f"on {table}", f"{nodes.on_provider} of {len(nodes.placements)} nodes; {nodes.table.release} {verdict}"),
        *(("", line) for line in nodes.summary()),
    ]


def _origin(found: Inspection) -> list[Row]:
    manifest, recipe = found.manifest, found.manifest.recipe
    source = manifest.source.model + (f" at {manifest.source.revision}" if manifest.source.revision else "")
    zero = "symmetric" if recipe.symmetric else "asymmetric"
    quantized = f", blocks of at most {recipe.block_size}, {zero}" if recipe.quantized else ""
    exceptions = f", 8 bits for {', '.join(recipe.int8)}" if recipe.int8 else ""
    return [
        ("source", source),
        ("created", f"{manifest.created} by youtu-onnx {manifest.tools.get('youtu-onnx', '?')}"),
        ("target", manifest.target),
        ("precision", f"{recipe.precision}{quantized}{exceptions}"),
    ]


def _model(found: Inspection) -> list[Row]:
    manifest, a = found.manifest, found.architecture
    record = manifest.model.record
    ranks = "".join(f"{name} {record[f'{name}_rank'] or 'none'}, " for name in LORAS if f"{name}_rank" in record)
    return [
        (
            "architecture",
            f"{a.num_hidden_layers} layers, hidden {a.hidden_size}, {a.num_attention_heads} heads, {ranks}"
            f"vocabulary {a.vocab_size:,}, context {a.max_position_embeddings:,}{manifest.model.bound}",
        ),
        ("parameters", f"{a.parameters:,}"),
        ("weights", f"{_bytes(found.weights)}, {found.bits_per_weight:.2f} bits per parameter"),
        *_under("stored as", [f"{count} × {kind}" for kind, count in manifest.tensors.items()]),
        *_under("files", [f"{_bytes(entry.size):>10}  {name}" for name, entry in manifest.files.items()]),
    ]


def _cache(found: Inspection) -> list[Row]:
    cache = found.manifest.cache
    reserved = "" if cache.length is None else f", reserved for {cache.length:,} tokens"
    most = "" if cache.uniform else " at most"
    rows = [("cache", f"{cache.form}, {cache.dtype}, {_bytes(cache.bytes_per_token)} per token{most}{reserved}")]
    if found.window is not None:
        shut = "is dropped" if cache.form == "routed" else "is hidden"
        rows.append(("", f"(a token whose gate is shut {shut} when it is {found.window} tokens back)"))
    if found.rows_kept is not None:
        share = sum(found.rows_kept) / len(found.rows_kept)
        rows.append(("", f"({share:.0%} of all rows kept at verification; youtu-onnx explain says it of a reply)"))
        parts = [f"{part:.0%}" for part in found.rows_kept]
        rows += [("", line) for line in textwrap.wrap(f"(rows kept at verification, by layer: {', '.join(parts)})", 96)]
    expanded = found.expanded_bytes_per_token
    if cache.form == "latent" and expanded is not None:
        times = expanded / cache.bytes_per_token
        rows.append(("", f"(per-head keys and values: {_bytes(expanded)}, {times:.1f} times as much)"))
    lengths = [
        f"{c.tokens:>7,} tokens: {_bytes(c.memory)} {'at least' if cache.uniform else 'where all are kept'} "
        f"(cache {_bytes(c.cache)}), "
        f"{_bytes(c.prompt)} while it reads a prompt"
        for c in found.contexts
    ]
    return [*rows, *_under("memory", lengths)]


def _operators(found: Inspection) -> list[Row]:
    if found.operators is None:
        return [("operators", "unknown: onnx is not installed (pip install onnx)")]
    listed = ", ".join(f"{count}\u00a0{name}" for name, count in found.operators.items())  # a count stays with its name
    return _under("operators", [line.replace("\u00a0", " ") for line in textwrap.wrap(listed, 96)])


def _verdict(found: Inspection) -> str:
    report = found.manifest.verification
    if report is None:
        return "no (exported with --no-verify); check it with: youtu-onnx verify BUNDLE --model CHECKPOINT"
    kl, top1 = report.get("mean_kl"), report.get("top1")
    numbers = f": mean KL {kl:.2g} nats, top-1 {top1:.1%}" if kl is not None and top1 is not None else ""
    return f"at export, {'equal to PyTorch within its limits' if report.get('passed') else 'FAILED'}{numbers}"


def _under(name: str, lines: list[str]) -> list[Row]:
    return [(name if i == 0 else "", line) for i, line in enumerate(lines)]


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"
