"""Sessions of a bundle's graphs: how they are opened, and how ONNX Runtime is made to write one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, ProviderError, UsageError
from youtu_onnx.runtimes.failures import explain
from youtu_onnx.runtimes.ort.prepared import Prepared
from youtu_onnx.runtimes.providers.advice import said_last
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.log import FATAL
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.probe import probe
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.sessions import check_started, open_session


def session_options(bundle: Bundle, provider: Provider, threads: int) -> ort.SessionOptions:
    """How a bundle's graph is opened. A change of how weights are packed has to change
    :data:`youtu_onnx.runtimes.ort.prepared.FORMAT_VERSION`."""
    options = ort.SessionOptions()
    options.log_severity_level = FATAL  # what goes wrong is raised, and said in our own words
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if provider.name != "cpu":
        return options
    # Exact products of bytes on x86 processors without VNNI; the fast ones there saturate at 16 bits.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if bundle.manifest.graph.optimized:
        # Such a graph was written as the optimizer would leave it: looking through it takes a tenth of the time to a first
        # token and finds nothing. In float16 it does find work, for there the session puts casts around most operators.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def open_graph(
    bundle: Bundle,
    name: str,
    provider: Provider,
    threads: int,
    chosen: ProviderOptions,
    find: Callable[[Bundle], Prepared | None] | None = None,
) -> tuple[ort.InferenceSession, Prepared | None]:
    """A session for one of a bundle's graphs, or for the prepared copy that ``find`` knows of, and that copy. Raises as
    :class:`youtu_onnx.runtimes.ort.model.OrtModel` does."""
    options = session_options(bundle, provider, threads)
    chosen.of_provider(provider)
    copy = find(bundle) if find and provider.name == "cpu" else None
    if copy and (session := copy.open(options)):
        return session, copy
    path = bundle.file(name)
    try:
        session = open_session(path, options, provider, chosen)
    except UsageError:
        raise
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise _why_not(error, path, provider, chosen) from error
    check_started(session, provider, lambda: probe(provider.ort, chosen.given()))
    return session, None


def write_optimized(
    bundle: Bundle, name: str, path: Path, threads: int, entries: Mapping[str, str], without: Sequence[str] = ()
) -> None:
    """Let ONNX Runtime write one of a bundle's graphs, optimized for the CPU where it is opened with the optimizer.

    Args:
        name: of the graph.
        path: of the file to write.
        entries: of the session's configuration, which say in what form; their names without ``session.`` before them.
        without: optimizers to leave out, by ONNX Runtime's names.

    Raises:
        Exception: what ONNX Runtime raises; the binding's own classes are bare Exceptions.
    """
    options = session_options(bundle, CPU, threads)
    options.optimized_model_filepath = str(path)
    for entry, value in entries.items():
        options.add_session_config_entry(f"session.{entry}", value)
    open_session(bundle.file(name), options, CPU, disabled_optimizers=without)


def _why_not(error: Exception, path: Path, provider: Provider, chosen: ProviderOptions) -> Exception:
    """What to raise where a graph couldn't be opened: is it the graph or the provider?"""
    explained = explain(error, f"onnxruntime can't open {path}")
    if provider.name == "cpu":
        return explained
    found = probe(provider.ort, chosen.given())
    if not found.works:  # anything, with these options: it is the provider
        hint = found.advice or "check the device with youtu-onnx doctor, or choose --provider cpu"
        return ProviderError(f"provider {provider.name} could not start: {found.detail}", hint=hint)
    if isinstance(explained, BundleError):
        return ProviderError(
            f"provider {provider.name} can't open this bundle: {said_last(str(error))}",
            hint="export one for it (youtu-onnx export --target …), or choose --provider cpu",
        )
    return explained
