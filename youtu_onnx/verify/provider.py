"""What a bundle is verified on."""

from __future__ import annotations

from dataclasses import replace

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.session import AS_IT_IS
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import APPLIES, ProviderOptions
from youtu_onnx.runtimes.providers.plugins import available
from youtu_onnx.runtimes.providers.providers import chosen, provider


def own_provider(bundle: Bundle) -> str:
    """ONNX Runtime's name of the target's provider, which is not the CPU's just because it isn't installed."""
    return chosen(None, bundle.manifest.graph.provider).ort


def usable_provider(bundle: Bundle) -> str:
    """ONNX Runtime's name of the target's provider where it is installed, else the CPU's."""
    wanted = provider(bundle.manifest.graph.provider)
    return wanted.ort if wanted.ort in available(wanted) else "CPUExecutionProvider"


def exact_options(options: ProviderOptions | None, name: str) -> ProviderOptions:
    """Options with TF32 off where the provider has it and nobody asked for it: parity is the graph's, not that of the hardware's
    short cut. On the CPU the graph's own operators run; what native ones make of it is a path of its own."""
    options = options or ProviderOptions()
    if provider(name) is CPU:
        return replace(options, kernels=AS_IT_IS.kernels)
    has_tf32 = provider(name).name in APPLIES["use_tf32"]
    return replace(options, use_tf32=False) if has_tf32 and options.use_tf32 is None else options
