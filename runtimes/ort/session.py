"""Sessions of a bundle's graphs: how they are opened, and how ONNX Runtime is made to write one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import BundleError, ProviderError, UsageError
from youtu_onnx.runtimes.failures import explain
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.ort.prepared import Prepared
from youtu_onnx.runtimes.providers.advice import said_last
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.log import FATAL
from youtu_onnx.runtimes.providers.option import KERNELS
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.probe import probe
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.sessions import check_started, open_session

if TYPE_CHECKING:
    from youtu_onnx.runtimes.native import rewriting
else:
    rewriting = Deferred("youtu_onnx.runtimes.native.rewriting", "the native kernels", extra="native")


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


ONNXRUNTIME = "onnxruntime"
"""The kernels that ONNX Runtime brings."""
AS_IT_IS = ProviderOptions(kernels=ONNXRUNTIME)
"""For the CPU: the graph's own operators, computed by ONNX Runtime's kernels."""


@dataclass(frozen=True)
class Opened:
    """A graph in a session.

    Attributes:
        prepared: the copy that was opened instead of the bundle's own graph; None: that was.
        kernels: whose compute it: ``onnxruntime``, or the instruction set of native ones, as ``native (avx2)``.
    """

    session: ort.InferenceSession
    prepared: Prepared | None = None
    kernels: str = ONNXRUNTIME


def open_graph(
    bundle: Bundle,
    name: str,
    provider: Provider,
    threads: int,
    chosen: ProviderOptions,
    find: Callable[[Bundle], Prepared | None] | None = None,
    *,
    profile: str | None = None,
) -> Opened:
    """A session for one of a bundle's graphs; on the CPU with native operators where these are installed, or for the prepared
    copy that ``find`` knows of. With ``profile`` it notes what each operator takes, in a file whose path begins so. Raises as
    :class:`youtu_onnx.runtimes.ort.model.OrtModel` does."""
    chosen.of_provider(provider)
    options = session_options(bundle, provider, threads)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if provider is CPU and (native := _open_native(bundle, name, options, chosen.kernels or _usual())):
        return native
    copy = find(bundle) if find and provider is CPU else None
    if copy and (session := copy.open(options)):
        return Opened(session, copy)
    path = bundle.file(name)
    try:
        session = open_session(path, options, provider, chosen)
    except UsageError:
        raise
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise _why_not(error, path, provider, chosen) from error
    check_started(session, provider, lambda: probe(provider.ort, chosen.given()))
    return Opened(session)


def natively() -> bool:
    """Whether native operators are put in where nobody says anything."""
    return _usual() != ONNXRUNTIME and library.found() is not None


def _usual() -> str | None:
    """What the environment says of kernels."""
    wanted = os.environ.get(library.VARIABLE) or None
    return wanted if wanted is None else str(KERNELS.read(library.VARIABLE, wanted))


def _open_native(bundle: Bundle, name: str, options: ort.SessionOptions, kernels: str | None) -> Opened | None:
    """A session with native operators; None, and ``options`` as they were, where nobody asked for them and they aren't there, or
    where they compute nothing of the graph. Weights stay mapped where they are, and nothing is packed: no prepared copy is of
    use."""
    if kernels == ONNXRUNTIME:
        return None
    native = library.found() if kernels is None else library.load()
    if native is None:
        return None
    path = bundle.file(name)
    rewritten = rewriting.rewrite(path)
    if rewritten is None and kernels is None:
        return None
    if rewritten is None:
        raise UsageError(f"the native kernels compute nothing of {path}", hint="choose --kernels onnxruntime")
    options.register_custom_ops_library(str(native.path))
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(bundle.path))
    try:
        session = open_session(rewritten.model, options, CPU)
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise explain(error, f"onnxruntime can't open {path} with the native kernels") from error
    return Opened(session, kernels=f"native ({native.instructions})")


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
