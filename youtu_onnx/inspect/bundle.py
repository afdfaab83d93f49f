"""What a bundle is, in numbers that its manifest and its files give; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.conformance import TABLES, Conformance, conformance
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.target import TARGETS
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.verify.graph import operators

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

    @property
    def bits_per_weight(self) -> float:
        """Of everything stored for the weights, scales and zero points included, over the model's parameters."""
        return 8 * self.weights / self.manifest.architecture.parameters

    @property
    def expanded_bytes_per_token(self) -> int:
        """What a cache of every head's keys and values would cost instead."""
        target = TARGETS.get(self.manifest.target, TARGETS["cpu"])
        dtype = target.floats(self.manifest.recipe.precision)
        return CacheLayout.of(self.manifest.architecture, "expanded", dtype).bytes_per_token

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
                self.weights + length * per_token + step_bytes(self.manifest, length),
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

    def placement(self, table: str) -> Conformance | None:
        """Where a provider would run each node, by the name of its table; None where the graph can't be read."""
        return None if self.graph is None else conformance(self.graph, TABLES[table])

    def to_dict(self) -> dict[str, Any]:
        manifest, cache = self.manifest, self.manifest.cache
        placements = {name: placed for name in TABLES if (placed := self.placement(name))}
        return {
            "bundle": str(self.path),
            "source": {"model": manifest.source.model, "revision": manifest.source.revision},
            "created": manifest.created,
            "tools": dict(manifest.tools),
            "target": manifest.target,
            "recipe": manifest.recipe.to_dict(),
            "tensors": dict(manifest.tensors),
            "architecture": manifest.architecture.to_dict(),
            "parameters": manifest.architecture.parameters,
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
                for name, found in placements.items()
            },
            "verification": manifest.verification,
        }


def step_bytes(manifest: Manifest, tokens: int) -> int:
    """What one step of a long prompt holds beside weights and cache when the cache comes to ``tokens``, on the CPU.

    Scores and attention weights of every head, its keys and values and what they are made from, and the widest layers of the
    MLP. Measured on the 2B shape: 0.69 GB at 4,608 tokens and 3.2 GB at 32,768, where this gives 0.57 and 3.2.
    """
    a, new = manifest.architecture, min(PREFILL_CHUNK, tokens)
    scores = 2 * a.num_attention_heads * new * tokens
    heads = a.num_attention_heads * tokens * (a.qk_head_dim + a.qk_nope_head_dim + a.v_head_dim)
    return 4 * (scores + heads + new * 4 * (2 * a.intermediate_size + 2 * a.hidden_size))


def inspect_bundle(path: str | Path) -> Inspection:
    """Read a bundle's manifest and graph.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    bundle = Bundle.open(path)
    return Inspection(bundle.path, bundle.manifest, bundle.size, bundle.manifest.files[names.MODEL_DATA].size, operators(bundle))
