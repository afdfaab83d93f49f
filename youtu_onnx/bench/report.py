"""Everything that a benchmark found out, as one object for programs; ``render`` makes text of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from youtu_onnx.bench.plan import SEED, Plan
from youtu_onnx.bench.samples import Result
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.machine import Machine
from youtu_onnx.core.version import __version__
from youtu_onnx.families.known import architecture_of
from youtu_onnx.inspect.inspection import Inspection
from youtu_onnx.runtimes.ort.placement import Placement


@dataclass(frozen=True)
class FirstPrompt:
    """The first tokens that the process computed, with everything cold: how many of each sequence, how long they took, and
    seconds from the start of the process until their logits were there, from which one would pick the first token."""

    tokens: int
    seconds: float
    since_start: float


@dataclass(frozen=True)
class Report:
    """Sizes in bytes. ``threads``, ``load_seconds``, ``memory_after_load`` and ``first_prompt`` are of the first session.

    Attributes:
        options: of the provider, those that were asked for.
        kernels: whose compute: ``onnxruntime``, or the instruction set of native ones.
        placement: where the nodes ran.
        load_seconds: opening the bundle (hashes of files up to 64 MiB included), its tokenizer and its session.
        first_prompt: None if the work was broken off before.
        complete: whether every run of the plan was made.
    """

    bundle: Bundle
    plan: Plan
    machine: Machine
    provider: str
    threads: int
    load_seconds: float
    memory_after_load: int
    peak_memory: int
    first_prompt: FirstPrompt | None
    results: tuple[Result, ...]
    complete: bool
    options: Mapping[str, str] = field(default_factory=dict)
    placement: Placement | None = None
    kernels: str = "onnxruntime"

    @property
    def bits_per_weight(self) -> float:
        manifest = self.bundle.manifest
        weights = manifest.files[names.MODEL_DATA].size
        return Inspection(self.bundle.path, manifest, self.bundle.size, weights, None).bits_per_weight

    @property
    def model(self) -> str:
        """``youtu-nano int4``."""
        return f"{self.bundle.manifest.source.model} {self.bundle.manifest.recipe.precision}"

    def to_dict(self) -> dict[str, Any]:
        manifest, first = self.bundle.manifest, self.first_prompt
        return {
            "bundle": str(self.bundle.path),
            "model": manifest.source.model,
            "precision": manifest.recipe.precision,
            "parameters": architecture_of(manifest.model).parameters,
            "youtu_onnx": __version__,
            "provider": self.provider,
            "provider_options": dict(self.options),
            "kernels": self.kernels,
            "placement": self.placement and self.placement.to_dict(),
            "threads": self.threads,
            "machine": self.machine.to_dict(),
            "load_seconds": self.load_seconds,
            "start_to_first_token_seconds": first and first.since_start,
            "first_prompt_tokens": first and first.tokens,
            "first_prompt_seconds": first and first.seconds,
            "memory_after_load_bytes": self.memory_after_load,
            "peak_memory_bytes": self.peak_memory,
            "file_bytes": self.bundle.size,
            "files": {name: entry.size for name, entry in manifest.files.items()},
            "bits_per_weight": round(self.bits_per_weight, 3),
            "cache_bytes_per_token": manifest.cache.bytes_per_token,
            "seed": SEED,
            "warmup": self.plan.warmup,
            "repetitions": self.plan.repetitions,
            "complete": self.complete,
            "results": [result.to_dict() for result in self.results],
        }
