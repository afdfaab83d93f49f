"""Plugins: providers that a package brings as a library of its own, beside any build of ONNX Runtime."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from typing import Any

import onnxruntime as ort

from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.providers.log import FATAL, log_from
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.providers import PROVIDERS

_registered: set[str] = set()
"""Plugins that were loaded, by ONNX Runtime's name of the provider; it refuses to load one twice."""


def available(wanted: Provider | None = None) -> list[str]:
    """ONNX Runtime's names of the providers that it has, those of installed plugins included.

    Args:
        wanted: the provider that will be asked for: only its plugin is loaded. None loads all.
    """
    has = ort.get_available_providers()
    for one in PROVIDERS:
        if one.plugin and (wanted is None or wanted.ort == one.ort) and one.ort not in has:
            with contextlib.suppress(ProviderError):
                _register(one.ort, one.plugin)
    return list(ort.get_available_providers())


def installed_plugins() -> list[str]:
    """ONNX Runtime's names of the providers whose plugins are installed, whether they find a device or not."""
    return [one.ort for one in PROVIDERS if one.plugin and importlib.util.find_spec(one.plugin)]


def plugin_failure(wanted: Provider) -> str | None:
    """Why an installed plugin gives no provider; None where none is installed, or it does.

    A library that loads and finds no device says nothing: its list of devices is empty.
    """
    if wanted.plugin is None or importlib.util.find_spec(wanted.plugin) is None:
        return None
    try:
        if wanted.ort not in ort.get_available_providers():
            _register(wanted.ort, wanted.plugin)
    except ProviderError as error:
        return error.message
    return None if wanted.ort in ort.get_available_providers() else f"{wanted.plugin} is installed, but found no device"


def plugin_devices(wanted: Provider) -> list[Any]:
    """ONNX Runtime's devices of a provider that comes as a plugin; none of others."""
    if wanted.plugin is None or not hasattr(ort, "get_ep_devices"):
        return []
    return [device for device in ort.get_ep_devices() if device.ep_name == wanted.ort]


def _register(name: str, module: str) -> None:
    """Load an installed plugin; without one nothing happens.

    Raises:
        ProviderError: it can't be loaded.
    """
    if name in _registered or importlib.util.find_spec(module) is None or not hasattr(ort, "register_execution_provider_library"):
        return
    try:
        with log_from(FATAL):
            ort.register_execution_provider_library(name, importlib.import_module(module).get_library_path())
        _registered.add(name)
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise ProviderError(f"the plugin {module} can't be loaded: {error}", hint="youtu-onnx doctor") from error
