"""A bundle as an HTTP server: in this process, or in several behind one socket."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.families.adapters.inputs import refuse_without_inputs
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.runtimes.providers.providers import chosen, variant_for
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.engine.limits import Limits, capacity, share
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.http import browsing, server, workers
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.connections import connection_limit
from youtu_onnx.serve.http.explain_route import explainer_of
from youtu_onnx.serve.http.guard import host_name
from youtu_onnx.serve.http.origins import origin
from youtu_onnx.serve.http.settings import LOOPBACK, Settings
from youtu_onnx.serve.text.model_text import ModelText

Told = Callable[[str], None]
"""Called with a line for the user; where there are workers, in their processes, too."""


@dataclass(frozen=True)
class Serving:
    """What is served, and where.

    Attributes:
        name: what requests call the model; None: its checkpoint's name.
        port: 0 takes a free one.
        limits: of the engine, or of all workers' engines together.
        workers: processes that answer.
        drain_seconds: on SIGTERM or Ctrl-C, how long replies may go on.
        open_page: in the user's browser, when requests are answered.
    """

    bundle: Path
    settings: Settings
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    provider: ProviderChoice = field(default_factory=ProviderChoice)
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    drain_seconds: float = 30.0
    open_page: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine reach it."""
        return server.is_loopback(self.host)


def settings(
    host: str,
    *,
    api_keys: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    cors_origins: tuple[str, ...] = (),
    body_limit: int = Settings.body_limit,
    connections: int | None = None,
    adapters: Path | None = None,
    log_requests: bool = False,
) -> Settings:
    """What a server at this address allows and asks for.

    Args:
        names: further ones by which a loopback server may be asked.
        adapters: folder from which adapters may be loaded while the server runs.
        log_requests: whether a line for each answered request is wanted.

    Raises:
        UsageError: an empty key, names for a server that checks none, what is no name or no origin, or more connections than
            there can be.
    """
    loopback = server.is_loopback(host)
    if not all(key.strip() for key in api_keys):
        raise UsageError("an API key is empty", hint="pass one with characters in it, or no --api-key at all")
    if adapters is not None and not adapters.is_dir():
        raise UsageError(f"--adapters {adapters} is no folder", hint="name the one in which the adapters' folders lie")
    if names and not loopback:
        raise UsageError(f"--allow-host has no use at {host}: only loopback servers check names", hint="drop --allow-host")
    return Settings(
        api_keys=api_keys,
        hosts=(*LOOPBACK, host.lower(), *map(_allowed_name, names)) if loopback else None,
        cors_origins=tuple(map(origin, cors_origins)),
        body_limit=body_limit,
        connections=connection_limit(connections),
        adapters=adapters,
        log_requests=log_requests,
    )


def _allowed_name(text: str) -> str:
    name = host_name(text.strip())
    if not name or re.search(r"[\s/,*@]", text.strip()):
        raise UsageError(f"--allow-host {text!r} is no name", hint="pass a host's name alone, as model.example.org")
    return name


def serve(serving: Serving, progress: Progress, told: Told) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises:
        UsageError: an address that this machine doesn't have, or workers for a device.
        ResourceError: the port is taken, or a worker can't start.
        BundleError, ProviderError: as opening the bundle raises them.
    """
    target = variant_for(serving.provider.name)
    text = ModelText.open(serving.bundle, name=serving.name, target=target)
    if serving.workers > 1:
        _check_on_cpu(serving.provider, Bundle.open(serving.bundle, target=target))
    if serving.settings.adapters is not None:
        _check_adapters(serving, Bundle.open(serving.bundle, target=target))
    with server.listen(serving.host, serving.port) as listening:
        address = f"[{serving.host}]" if ":" in serving.host else serving.host
        url = f"http://{address}:{listening.getsockname()[1]}"
        if serving.workers > 1:
            _tell(serving, url, text, told)
            _run_workers(serving, text, listening, progress, told)
            return
        engine = open_engine(
            Bundle.open(serving.bundle, target=target),
            provider=serving.provider.name,
            options=serving.provider.options,
            limits=serving.limits,
        )
        explainer = explainer_of(Bundle.open(serving.bundle, target=target), text, serving.provider)
        app = application(engine, text=text, settings=serving.settings, explainer=explainer, logged=told)
        server.run(app, listening, drain_seconds=serving.drain_seconds, ready=lambda: _tell(serving, url, text, told, engine))


def _check_adapters(serving: Serving, bundle: Bundle) -> None:
    refuse_without_inputs(bundle)
    if serving.workers > 1:
        raise UsageError(
            "--adapters are loaded into one process, and --workers are several",
            hint="leave --workers away, or put the adapters into the bundle: youtu-onnx adapter BUNDLE --add DIR",
        )


def _check_on_cpu(choice: ProviderChoice, bundle: Bundle) -> None:
    provider = chosen(choice.name, bundle.manifest.graph.provider)
    if provider.name != "cpu":
        raise UsageError(
            f"--workers are for the CPU, and this is for {provider.name}: every worker would load the weights anew",
            hint="leave --workers away: one process answers several at once; or pass --provider cpu",
        )
    choice.options.of_provider(provider)


def _run_workers(serving: Serving, text: ModelText, listening: socket, progress: Progress, told: Told) -> None:
    workers.prepare(serving.bundle, progress)
    limits = share(serving.workers, serving.limits)
    worker = workers.Worker(serving.bundle, text.id, serving.settings, limits, serving.drain_seconds, told)
    workers.run(worker, serving.workers, listening)


def _tell(serving: Serving, url: str, text: ModelText, told: Told, engine: Engine | None = None) -> None:
    """``engine``: None where workers tell of theirs."""
    told(f"{text.id} at {url}: open it in a browser to chat, or use OpenAI's API at {url}/v1, which {url}/docs describes")
    if engine is not None:
        told(capacity(engine))
    if not serving.loopback:
        key = "whoever has the API key" if serving.settings.api_keys else "everyone; --api-key closes the API"
        told(
            f"This address is reached from other machines, without encryption, by {key}. "
            "Put a proxy with TLS before it on any network you don't trust."
        )
    if "*" in serving.settings.cors_origins and not serving.settings.api_keys:
        told("--cors-origin * without a key lets any web page that you open use this server.")
    if serving.open_page:
        _open_page(url, told)


def _open_page(url: str, told: Told) -> None:
    if browsing.has_browser():
        host, _, port = url.removeprefix("http://").rpartition(":")
        browsing.open_page(browsing.page_address(host, int(port)))
    else:
        told("--open: there is no browser with a window here")
