"""Bundle → engine."""

from __future__ import annotations

import hashlib

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.runtimes.batch import Batch
from youtu_onnx.runtimes.opening import open_batch
from youtu_onnx.runtimes.ort.prepared_key import key_of
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.serve.engine.limits import Limits, free_cache_memory
from youtu_onnx.serve.engine.prefill import ChunkSizes
from youtu_onnx.serve.engine.saved_prefixes import SavedPrefixes
from youtu_onnx.serve.engine.scheduler import Scheduler


def open_engine(
    bundle: Bundle, *, provider: str | None = None, options: ProviderOptions | None = None, limits: Limits | None = None
) -> Scheduler:
    """Open a bundle to answer several requests at once.

    Args:
        provider, options: as in :func:`youtu_onnx.runtimes.opening.open_batch`.

    Raises:
        As :func:`youtu_onnx.runtimes.opening.open_batch`, :class:`SavedPrefixes` and :class:`Scheduler`.
    """
    limits = limits or Limits()
    batch = open_batch(bundle, provider, limits.threads, options=options)
    cache_limit = free_cache_memory() if limits.cache_memory is None else limits.cache_memory
    saved = None
    if limits.prefix_folder is not None:
        facts = _facts(bundle, batch, thread_count(limits.threads))
        saved = SavedPrefixes(limits.prefix_folder, batch, facts, limits.prefix_bytes)
    return Scheduler(
        batch, places=limits.places, max_queue=limits.max_queue, context=limits.context, cache_limit=cache_limit, saved=saved
    )


def _facts(bundle: Bundle, batch: Batch, threads: int) -> dict[str, str]:
    """All that decides the bits of a prompt's rows."""
    graph = names.BATCH if bundle.manifest.slots else names.MODEL
    key = {name: value for name, value in key_of(bundle, graph).items() if name != "bundle"}
    return key | {
        "manifest": hashlib.sha256(bundle.file(names.MANIFEST).read_bytes()).hexdigest(),
        "kernels": str(getattr(batch, "kernels", "")),
        "threads": str(threads),
        "chunks": str(ChunkSizes()),
    }
