"""A bundle as an HTTP server: in this process, or in several behind one socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import socket

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.families.adapters.inputs import refuse_without_inputs
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.runtimes.providers.providers import chosen, variant_for
from youtu_onnx.serve.engine.limits import Limits, capacity, share
from youtu_onnx.serve.http import browsing, server, workers
from youtu_onnx.serve.http.application import application_of
from youtu_onnx.serve.http.bundles import Bundles
from youtu_onnx.serve.http.choosing import ChosenBundle, chosen_texts, memory_for, served_bundles
from youtu_onnx.serve.http.connections import connection_limit
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
        bundles: at least one; requests that name none get the first.
        port: 0 takes a free one.
        limits: of the engine, of all workers' engines together, or of each of several bundles' engines.
        memory: bytes that several bundles may take together; None: most of what is free.
        idle_seconds: after so long without a request one of several bundles is unloaded; None: only when others need its memory.
        workers: processes that answer.
        drain_seconds: on SIGTERM or Ctrl-C, how long replies may go on.
        open_page: in the user's browser, when requests are answered.
    """

    bundles: tuple[ChosenBundle, ...]
    settings: Settings
    host: str = "127.0.0.1"
    port: int = 8080
    provider: ProviderChoice = field(default_factory=ProviderChoice)
    limits: Limits = field(default_factory=Limits)
    memory: int | None = None
    idle_seconds: float | None = None
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
    saves_prefixes: bool = False,
) -> Settings:
    """What a server at this address allows and asks for.

    Args:
        names: further ones by which a loopback server may be asked.
        adapters: folder from which adapters may be loaded while the server runs.
        log_requests: whether a line for each answered request is wanted.
        saves_prefixes: whether engines keep prompts' beginnings in files.

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
        saves_prefixes=saves_prefixes,
    )


def _allowed_name(text: str) -> str:
    name = host_name(text.strip())
    if not name or re.search(r"[\s/,*@]", text.strip()):
        raise UsageError(f"--allow-host {text!r} is no name", hint="pass a host's name alone, as model.example.org")
    return name


def chosen_bundles(texts: Sequence[str], name: str | None) -> tuple[ChosenBundle, ...]:
    """What ``[NAME=]BUNDLE …`` and ``--model-name`` ask for.

    Raises:
        UsageError: names that can't be.
    """
    chosen = tuple(map(ChosenBundle.parse, texts))
    if name is None:
        return chosen
    if len(chosen) > 1 or chosen[0].name is not None:
        raise UsageError("--model-name is for one bundle without a name of its own", hint="write NAME=BUNDLE for each")
    return (replace(chosen[0], name=name),)


def serve(serving: Serving, progress: Progress, told: Told) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises:
        UsageError: an address that this machine doesn't have, workers for a device, or what several bundles can't have.
        ResourceError: the port is taken, a worker can't start, or a bundle takes more than all may take.
        BundleError, ProviderError: as opening the bundle raises them.
    """
    texts = chosen_texts(serving.bundles, serving.provider)
    _check(serving)
    with server.listen(serving.host, serving.port) as listening:
        address = f"[{serving.host}]" if ":" in serving.host else serving.host
        url = f"http://{address}:{listening.getsockname()[1]}"
        if serving.workers > 1:
            _tell(serving, url, texts, told)
            _run_workers(serving, texts[0], listening, progress, told)
            return
        bundles = _loaded(serving, texts)
        app = application_of(bundles, logged=told)
        server.run(app, listening, drain_seconds=serving.drain_seconds, ready=lambda: _tell(serving, url, texts, told, bundles))


def _loaded(serving: Serving, texts: Sequence[ModelText]) -> Bundles:
    """The first is loaded: what can't be run is told at the start."""
    served = served_bundles(serving.bundles, texts, serving.provider, serving.limits)
    several = len(served) > 1
    bundles = Bundles(
        served,
        serving.settings,
        memory=memory_for(served, serving.memory) if several else None,
        idle_seconds=serving.idle_seconds,
    )
    bundles.load(served[0])
    return bundles


def _check(serving: Serving) -> None:
    several, first = len(serving.bundles) > 1, serving.bundles[0].path
    target = variant_for(serving.provider.name)
    if several and serving.workers > 1:
        raise UsageError("--workers are for one bundle, and these are several", hint="leave --workers away, or name one bundle")
    if not several and (serving.memory is not None or serving.idle_seconds is not None):
        option = "--memory" if serving.memory is not None else "--unload-after"
        raise UsageError(f"{option} is for several bundles, and this is one", hint=f"drop {option}")
    if serving.workers > 1:
        _check_on_cpu(serving.provider, Bundle.open(first, target=target))
    if serving.settings.adapters is not None:
        if several:
            raise UsageError("--adapters are of one bundle, and these are several", hint="leave --adapters away")
        _check_adapters(serving, Bundle.open(first, target=target))


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
    bundle = serving.bundles[0].path
    workers.prepare(bundle, progress)
    limits = share(serving.workers, serving.limits)
    worker = workers.Worker(bundle, text.id, serving.settings, limits, serving.drain_seconds, told)
    workers.run(worker, serving.workers, listening)


def _tell(serving: Serving, url: str, texts: Sequence[ModelText], told: Told, bundles: Bundles | None = None) -> None:
    """``bundles``: None where workers tell of theirs."""
    names = " and ".join([", ".join(text.id for text in texts[:-1]), texts[-1].id] if texts[1:] else [texts[0].id])
    told(f"{names} at {url}, which is a page to chat on")
    told(f"OpenAI's API is at {url}/v1, described at {url}/docs")
    if bundles is not None and (first := bundles.all[0].service) is not None:
        told(capacity(first.engine) + (f"; {texts[0].id} is loaded, others are when they are asked for" if texts[1:] else ""))
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
