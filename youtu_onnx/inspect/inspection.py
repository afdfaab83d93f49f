"""What a bundle is, in numbers that its manifest and its files give; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.conformance import TABLES, Conformance, conformance
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.graph_facts import EXPANDED
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.known import architecture_of, family_called
from youtu_onnx.families.memory import step_bytes
from youtu_onnx.graphs.reading import operators
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK

if TYPE_CHECKING:
    import onnx_ir as ir

CONTEXTS = (4096, 32768)
"""Lengths for which memory is stated, beside the model's full context."""


@dataclass(frozen=True)
class Context:
    """Bytes at one length: the cache; weights and cache together, the least that running takes; and those with what a step
    of a prompt needs there. The runtime itself comes on top, and a second cache where a step can't write the present into
    the past's buffer."""

    tokens: int
    cache: int
    memory: int
    prompt: int


@dataclass(frozen=True)
class Inspection:
    """Facts about one bundle. Sizes in bytes; ``operators`` None: ``onnx`` isn't installed."""

    path: Path
    manifest: Manifest
    size: int
    weights: int
    operators: Mapping[str, int] | None

    @cached_property
    def architecture(self) -> Architecture:
        """The model's numbers, read by its family."""
        return architecture_of(self.manifest.model)

    @property
    def bits_per_weight(self) -> float:
        """Of everything stored for the weights, scales and zero points included, over the model's parameters."""
        return 8 * self.weights / self.architecture.parameters

    @property
    def expanded_bytes_per_token(self) -> int | None:
        """What a cache of every head's keys and values would cost instead; None where the family has no such cache."""
        family = family_called(self.manifest.model.family)
        if EXPANDED not in family.cache_forms:
            return None
        layout = family.cache_layout(self.architecture, EXPANDED, self.manifest.graph.float_dtype, None)
        return layout.bytes_per_token

    @property
    def rows_kept(self) -> tuple[float, ...] | None:
        """Which part of a sequence's tokens each layer kept when the bundle was verified; None where that is all, or wasn't
        done."""
        found = (self.manifest.verification or {}).get("rows_kept")
        return None if found is None else tuple(found)

    @property
    def window(self) -> int | None:
        """Tokens that see a token whose gate is shut, that token itself included; None where the model has no gates in use."""
        record = self.manifest.model.record
        return record.get("attention_window") if record.get("attention_routing") else None

    @property
    def contexts(self) -> tuple[Context, ...]:
        full, per_token = self.manifest.context_length, self.manifest.cache.bytes_per_token
        # a static cache takes its whole length from the first token on
        lengths = [length for length in CONTEXTS if length < full and self.manifest.cache.length is None] + [full]
        return tuple(
            Context(
                length,
                length * per_token,
                self.weights + length * per_token,
                self.weights + length * per_token + step_bytes(self.manifest, tokens=length, new=PREFILL_CHUNK),
            )
            for length in lengths
        )

    @cached_property
    def graph(self) -> ir.Model | None:
        """The graph without its weights; None without ``onnx`` and ``onnx_ir``."""
        try:
            import onnx  # noqa: F401
            import onnx_ir
        except ImportError:
            return None
        return onnx_ir.load(self.path / names.MODEL)

    def conformance(self, table: str) -> Conformance | None:
        """Where a provider would run each node, by the name of its table; None where the graph can't be read."""
        return None if self.graph is None else conformance(self.graph, TABLES[table])

    def to_dict(self) -> dict[str, Any]:
        manifest, cache = self.manifest, self.manifest.cache
        conforming = {name: found for name in TABLES if (found := self.conformance(name))}
        return {
            "bundle": str(self.path),
            "source": {
                "model": manifest.source.model,
                "revision": manifest.source.revision,
                "adapter": None if manifest.source.adapter is None else manifest.source.adapter.name,
            },
            "adapters": None if manifest.adapters is None else [one.name for one in manifest.adapters],
            "created": manifest.created,
            "tools": dict(manifest.tools),
            "target": manifest.target,
            "recipe": manifest.recipe.to_dict(),
            "tensors": dict(manifest.tensors),
            "architecture": dict(manifest.model.record),
            "parameters": self.architecture.parameters,
            "bits_per_weight": round(self.bits_per_weight, 3),
            "size": self.size,
            "weights": self.weights,
            "files": {name: entry.size for name, entry in manifest.files.items()},
            "cache": {
                "form": cache.form,
                "dtype": cache.dtype,
                "length": cache.length,
                "bytes_per_token": cache.bytes_per_token,
                "expanded_bytes_per_token": self.expanded_bytes_per_token,
                "rows_kept": self.rows_kept and list(self.rows_kept),
                "attention_window": self.window,
            },
            "contexts": [asdict(context) for context in self.contexts],
            "operators": None if self.operators is None else dict(self.operators),
            "placements": {
                name: {
                    "release": found.table.release,
                    "nodes": len(found.placements),
                    "on_provider": found.on_provider,
                    "taken": not found.faults,
                    "elsewhere": found.summary(),
                }
                for name, found in conforming.items()
            },
            "verification": manifest.verification,
        }


def inspect_bundle(path: str | Path) -> Inspection:
    """Read a bundle's manifest and graph.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    bundle = Bundle.open(path)
    return Inspection(bundle.path, bundle.manifest, bundle.size, bundle.manifest.files[names.MODEL_DATA].size, operators(bundle))
