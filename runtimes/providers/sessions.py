"""Sessions on providers: the one place where they are made, and without a word to the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from youtu_onnx.core import telemetry
from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.providers.log import FATAL, log_from
from youtu_onnx.runtimes.providers.options import ProviderOptions, refuse_unknown
from youtu_onnx.runtimes.providers.plugins import plugin_devices
from youtu_onnx.runtimes.providers.probe import Probe
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.providers import short
from youtu_onnx.runtimes.providers.tiny_model import tiny_model


def open_session(
    model: str | Path | bytes,
    options: ort.SessionOptions,
    provider: Provider,
    provider_options: ProviderOptions | None = None,
    *,
    disabled_optimizers: Sequence[str] = (),
    quiet: bool = True,
) -> ort.InferenceSession:
    """A session on one provider, with the CPU behind it.

    ONNX Runtime goes on with the CPU when a built-in provider can't start: :func:`check_started` tells.

    Args:
        model: a file, or a serialized model.
        disabled_optimizers: ONNX Runtime's names of optimizers to leave out.
        quiet: keep ONNX Runtime's log from stderr; what matters is raised.

    Raises:
        UsageError: options that the provider doesn't have.
        Exception: what ONNX Runtime raises; the binding's own classes are bare Exceptions.
    """
    telemetry.silence(ort)
    wanted = (provider_options or ProviderOptions()).of_provider(provider)
    with log_from(FATAL) if quiet and provider.name != "cpu" else contextlib.nullcontext():
        if provider.prepare:
            provider.prepare(ort)
        if wanted and provider.other_options is None:
            refuse_unknown(provider, wanted, _listed_by_onnxruntime(provider, wanted))
        session = _start(model, options, provider, wanted, disabled_optimizers)
    session.disable_fallback()  # a failing run must raise, not move to the CPU
    return session


def check_started(session: Any, provider: Provider, why: Callable[[], Probe]) -> None:
    """Make sure that a session's first provider is the one it was asked for: ONNX Runtime goes on with the CPU when a
    provider fails to start, and gives no reason but in its log.

    Args:
        why: tries the provider again, apart, for the reason.

    Raises:
        ProviderError: it is another one.
    """
    active = session.get_providers()
    if active and active[0] == provider.ort:
        return
    found = why()
    cause = f"onnxruntime offers {', '.join(map(short, active))} instead" if found.works else found.detail
    raise ProviderError(
        f"provider {provider.name} could not start: {cause}",
        hint=found.advice
        or f"check the device's driver and libraries (youtu-onnx doctor), install again "
        f"({provider.install_command}), or choose --provider cpu",
    )


def _start(
    model: str | Path | bytes,
    options: ort.SessionOptions,
    provider: Provider,
    wanted: Mapping[str, str],
    disabled_optimizers: Sequence[str] = (),
) -> ort.InferenceSession:
    source = model if isinstance(model, bytes) else str(model)
    without = list(disabled_optimizers) or None
    devices = plugin_devices(provider)
    if not devices:
        chosen = [(provider.ort, dict(wanted))]
        return ort.InferenceSession(source, options, providers=chosen, enable_fallback=0, disabled_optimizers=without)
    options.add_provider_for_devices(devices[:1], dict(wanted))  # a plugin takes one device
    return ort.InferenceSession(source, options, enable_fallback=0, disabled_optimizers=without)


def _listed_by_onnxruntime(provider: Provider, wanted: Mapping[str, str]) -> list[str]:
    """The options that a provider says it runs with, asked of a session of one node. Where it doesn't start: those that
    are wanted, so that the failure itself is told."""
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    listed: dict[str, Any] = _start(tiny_model(), options, provider, {}).get_provider_options()
    return list(listed.get(provider.ort) or wanted)
