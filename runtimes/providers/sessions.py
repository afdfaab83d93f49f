"""Sessions on providers: where a provider comes from, and how it is started without a word to the terminal."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.providers.options import KNOWN, ProviderOptions, refuse_unknown
from youtu_onnx.runtimes.providers.providers import Provider
from youtu_onnx.runtimes.providers.tiny_model import tiny_model

PLUGINS: Mapping[str, str] = {"WebGpuExecutionProvider": "onnxruntime_ep_webgpu"}
"""Provider → the module of the package that brings it as a library of its own, beside any build of ONNX Runtime."""

_registered: set[str] = set()
"""Plugins that were loaded; ONNX Runtime refuses to do it twice."""

FATAL, WARNING = 4, 2
"""Severities of ONNX Runtime's log; it starts with the second."""


def available(row: Provider | None = None) -> list[str]:
    """ONNX Runtime's names of the providers that it has, those of installed plugins included.

    Args:
        row: the provider that will be asked for: only its plugin is loaded. None loads all.
    """
    has = ort.get_available_providers()
    for name, module in PLUGINS.items():
        if (row is None or row.ort == name) and name not in has:
            with contextlib.suppress(ProviderError):
                _register(name, module)
    return ort.get_available_providers()


def open_session(
    model: str | Path | bytes,
    options: ort.SessionOptions,
    row: Provider,
    provider_options: ProviderOptions | None = None,
    *,
    quiet: bool = True,
) -> ort.InferenceSession:
    """A session on one provider, with the CPU behind it.

    ONNX Runtime goes on with the CPU when a built-in provider can't start: the caller checks ``get_providers()``.

    Args:
        model: a file, or a serialized model.
        quiet: keep ONNX Runtime's log from stderr; what matters is raised.

    Raises:
        UsageError: options that the provider doesn't have.
        Exception: what ONNX Runtime raises; the binding's own classes are bare Exceptions.
    """
    wanted = (provider_options or ProviderOptions()).of_provider(row)
    source = model if isinstance(model, bytes) else str(model)
    with _log(FATAL) if quiet and row.name != "cpu" else contextlib.nullcontext():
        if row.name == "cuda":
            _preload()
        if wanted and row.name not in KNOWN:
            refuse_unknown(row, wanted, _listed_by_onnxruntime(row, wanted))
        session = _start(source, options, row, wanted)
    session.disable_fallback()  # a failing run must raise, not move to the CPU
    return session


def _start(source: str | bytes, options: ort.SessionOptions, row: Provider, wanted: dict[str, str]) -> ort.InferenceSession:
    devices = _plugin_devices(row)
    if not devices:
        return ort.InferenceSession(source, options, providers=[(row.ort, wanted)], enable_fallback=0)
    options.add_provider_for_devices(devices[:1], wanted)  # a plugin takes one device
    return ort.InferenceSession(source, options, enable_fallback=0)


def _listed_by_onnxruntime(row: Provider, wanted: Mapping[str, str]) -> list[str]:
    """The options that a provider says it runs with, asked of a session of one node. Where it doesn't start: those that
    are wanted, so that the failure itself is told."""
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    listed: dict[str, Any] = _start(tiny_model(), options, row, {}).get_provider_options()
    return list(listed.get(row.ort) or wanted)


def _plugin_devices(row: Provider) -> list[Any]:
    if row.ort not in PLUGINS or not hasattr(ort, "get_ep_devices"):
        return []
    return [device for device in ort.get_ep_devices() if device.ep_name == row.ort]


def _register(name: str, module: str) -> None:
    """Load an installed plugin; without one nothing happens.

    Raises:
        ProviderError: it can't be loaded.
    """
    if name in _registered or importlib.util.find_spec(module) is None or not hasattr(ort, "register_execution_provider_library"):
        return
    try:
        with _log(FATAL):
            ort.register_execution_provider_library(name, importlib.import_module(module).get_library_path())
        _registered.add(name)
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise ProviderError(f"the plugin {module} can't be loaded: {error}", hint="youtu-onnx doctor") from error


def plugin_failure(row: Provider) -> str | None:
    """Why an installed plugin gives no provider; None where none is installed, or it does.

    A library that loads and finds no device says nothing: its list of devices is empty.
    """
    module = PLUGINS.get(row.ort)
    if module is None or importlib.util.find_spec(module) is None:
        return None
    try:
        if row.ort not in ort.get_available_providers():
            _register(row.ort, module)
    except ProviderError as error:
        return error.message
    return None if row.ort in ort.get_available_providers() else f"{module} is installed, but found no device"


def _preload() -> None:
    """Load CUDA's and cuDNN's libraries from the packages that pip installs; what fails shows when the provider starts."""
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls()


@contextlib.contextmanager
def _log(severity: int) -> Iterator[None]:
    ort.set_default_logger_severity(severity)
    try:
        yield
    finally:
        ort.set_default_logger_severity(WARNING)
