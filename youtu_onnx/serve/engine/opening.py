"""Bundle → engine."""

from __future__ import annotations

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.opening import open_batch
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.serve.engine.limits import Limits, free_cache_memory
from youtu_onnx.serve.engine.scheduler import Scheduler


def open_engine(
    bundle: Bundle, *, provider: str | None = None, options: ProviderOptions | None = None, limits: Limits | None = None
) -> Scheduler:
    """Open a bundle to answer several requests at once.

    Args:
        provider, options: as in :func:`youtu_onnx.runtimes.opening.open_batch`.

    Raises:
        As :func:`youtu_onnx.runtimes.opening.open_batch` and :class:`Scheduler`.
    """
    limits = limits or Limits()
    batch = open_batch(bundle, provider, limits.threads, options=options)
    cache_limit = free_cache_memory() if limits.cache_memory is None else limits.cache_memory
    return Scheduler(batch, places=limits.places, max_queue=limits.max_queue, context=limits.context, cache_limit=cache_limit)
