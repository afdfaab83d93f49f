"""Opening a bundle for use: a Decoder for one sequence, or a Batch for several."""

from __future__ import annotations

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.batch import Batch
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.runtimes.genai import GenaiDecoder
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.turns import TurnsModel
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.providers import chosen

RUNTIMES = ("ort", "genai")


def open_decoder(
    bundle: Bundle,
    runtime: str = "ort",
    provider: str | None = None,
    threads: int | None = None,
    *,
    options: ProviderOptions | None = None,
    require_provider: bool = False,
) -> Decoder:
    """Open a bundle.

    Args:
        runtime: ``ort`` (ONNX Runtime) or ``genai`` (onnxruntime-genai).
        provider: as in ``--provider``; None takes the one that the bundle was exported for.
        threads: of the CPU provider; None takes one per physical core.
        options: of the provider; None leaves its defaults.
        require_provider: let no node run elsewhere but what :mod:`youtu_onnx.conformance.host` excuses.

    Raises:
        UsageError: an unknown name, or an option that the runtime doesn't have.
        ProviderError: the runtime or provider isn't installed.
        BundleError: the bundle is damaged.
        ResourceError: too little memory.
    """
    if runtime == "ort":
        return OrtDecoder.open(bundle, provider, threads, options=options, require_provider=require_provider)
    if runtime == "genai":
        if threads is not None:
            raise UsageError(
                "the genai runtime takes its number of threads from genai_config.json",
                hint="leave --threads away, or use --runtime ort",
            )
        if options or require_provider:
            raise UsageError(
                "the genai runtime takes a provider's options from genai_config.json, and tells no node's place",
                hint="drop --require-provider and the provider's options, or use --runtime ort",
            )
        return GenaiDecoder(bundle, provider)
    raise UsageError(f"unknown runtime {runtime!r}", hint=f"choose one of: {', '.join(RUNTIMES)}")


def open_batch(
    bundle: Bundle,
    provider: str | None = None,
    threads: int | None = None,
    *,
    options: ProviderOptions | None = None,
    require_provider: bool = False,
) -> Batch:
    """Open a bundle for several sequences: with its batch graph on the CPU, elsewhere so that they take turns.

    Arguments and errors are :func:`open_decoder`'s.
    """
    if chosen(provider, bundle.manifest.graph.provider) is CPU and bundle.manifest.slots:
        return BatchModel(bundle, threads, options=options)
    return TurnsModel(OrtModel(bundle, provider, threads, options=options, require_provider=require_provider))
