"""``youtu-onnx serve``: a bundle as an HTTP server."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import console, options
from youtu_onnx.core.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from socket import socket

    from youtu_onnx.runtimes.providers.options import ProviderOptions
    from youtu_onnx.serve.engine.engine import Engine
    from youtu_onnx.serve.engine.limits import Limits
    from youtu_onnx.serve.http.settings import Settings
    from youtu_onnx.serve.text.model_text import ModelText

KEY_VARIABLE = "YOUTU_ONNX_API_KEY"


def serve(
    bundle: options.BundleFolder,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is every one of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8080,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            show_default=False,
            help=f"Key that requests have to bring; may be repeated. Better in the variable {KEY_VARIABLE}: "
            "a command line is seen by others.",
        ),
    ] = None,
    model_name: Annotated[str | None, typer.Option(help="What requests call the model. Default: its checkpoint's name.")] = None,
    places: Annotated[int | None, typer.Option(min=1, help="Replies that are written at once. Default: the engine's.")] = None,
    max_queue: Annotated[
        int | None, typer.Option(min=0, help="Requests that may wait for a place; more get a 429. Default: the engine's.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=2, help="Most tokens of a prompt and its reply. Default: the model's.")
    ] = None,
    cache_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Most memory of all cached tokens, as 2GiB. Default: the engine's.", show_default=False
        ),
    ] = None,
    provider: options.Provider = None,
    device: options.Device = None,
    memory_limit: options.MemoryLimit = None,
    tf32: options.Tf32 = None,
    provider_option: options.ProviderOption = None,
    threads: options.Threads = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that answer, on the CPU. They share the weights; threads, --max-queue and --cache-memory are "
            "divided among them, unless --threads says how many each has.",
        ),
    ] = 1,
    body_limit: Annotated[str, typer.Option(metavar="SIZE", help="Largest body of a request.")] = "4MiB",
    limit_connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Connections that may be open at once, of each worker. Default: 1000, or what ulimit -n leaves room for.",
            show_default=False,
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            show_default=False,
            help="Web pages of this origin (https://example.org) may use the server; may be repeated; * is all.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            show_default=False,
            help="Another name by which a server on 127.0.0.1 may be asked, behind a proxy say; may be repeated.",
        ),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="On SIGTERM or Ctrl-C, how long replies may go on.")
    ] = 30.0,
) -> None:
    """Serve a bundle over HTTP: OpenAI's API, a smaller one, and a web page."""
    try:
        from youtu_onnx.serve.http import application, server
        from youtu_onnx.serve.text.model_text import ModelText
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"serving needs {error.name}, which isn't installed", hint='pip install "youtu-onnx[serve]"'
        ) from error
    from youtu_onnx.runtimes.providers.providers import variant_for

    loopback = server.is_loopback(host)
    settings = _settings(api_key, cors_origin, allow_host, body_limit, limit_connections, host, loopback)
    text = ModelText.open(bundle, name=model_name, target=variant_for(provider))
    chosen = options.provider_options(device, memory_limit, tf32, provider_option)
    limits = _limits(threads, max_queue, places, context, cache_memory)
    if workers > 1:
        _check_on_cpu(bundle, provider, chosen)
    listening = server.listen(host, port)
    with listening:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listening.getsockname()[1]}"
        if workers > 1:
            _tell(url, text, settings, loopback)
            _run_workers(workers, bundle, text, settings, limits, listening, drain)
            return
        engine = _engine(bundle, provider, chosen, limits)
        app = application.application(engine, text=text, settings=settings)
        server.run(app, listening, drain_seconds=drain, ready=lambda: _tell(url, text, settings, loopback, engine))


def _settings(
    api_key: list[str] | None,
    cors_origin: list[str] | None,
    allow_host: list[str] | None,
    body_limit: str,
    limit_connections: int | None,
    host: str,
    loopback: bool,
) -> Settings:
    from youtu_onnx.serve.http.connections import connection_limit
    from youtu_onnx.serve.http.settings import LOOPBACK, Settings

    variable = os.environ.get(KEY_VARIABLE)
    keys = api_key if api_key is not None else [variable] if variable else []
    if not all(key.strip() for key in keys):
        raise UsageError("an API key is empty", hint="pass one with characters in it, or no --api-key at all")
    if allow_host and not loopback:
        raise UsageError(f"--allow-host has no use at {host}: only loopback servers check names", hint="drop --allow-host")
    hosts = (*LOOPBACK, host.lower(), *(name.lower() for name in allow_host or ())) if loopback else None
    return Settings(
        api_keys=tuple(keys),
        hosts=hosts,
        cors_origins=tuple(cors_origin or ()),
        body_limit=_bytes(body_limit, "--body-limit"),
        connections=connection_limit(limit_connections),
    )


def _bytes(size: str, option: str) -> int:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(?:iB|B)?", size.strip(), re.IGNORECASE)
    number = int(float(found[1]) * 1024 ** " KMG".index(found[2].upper() or " ")) if found else 0
    if number < 1:
        raise UsageError(f"{option} is {size!r}; expected a size, as 4MiB")
    return number


def _limits(
    threads: int | None, max_queue: int | None, places: int | None, context: int | None, cache_memory: str | None
) -> Limits:
    """What was asked for; the rest is as one engine alone chooses."""
    from youtu_onnx.serve.engine.limits import Limits

    asked = {"max_queue": max_queue} if max_queue is not None else {}
    return Limits(
        threads=threads,
        places=places,
        context=context,
        cache_memory=None if cache_memory is None else _bytes(cache_memory, "--cache-memory"),
        **asked,
    )


def _check_on_cpu(bundle: Path, provider: str | None, chosen: ProviderOptions) -> None:
    from youtu_onnx.core.bundle import Bundle
    from youtu_onnx.runtimes.providers import providers
    from youtu_onnx.runtimes.providers.providers import variant_for

    row = providers.chosen(provider, Bundle.open(bundle, target=variant_for(provider)).manifest.graph.provider)
    if row.name != "cpu":
        raise UsageError(
            f"--workers are for the CPU, and this is for {row.name}: every worker would load the weights anew",
            hint="leave --workers away: one process answers several at once; or pass --provider cpu",
        )
    chosen.of_provider(row)


def _run_workers(
    count: int, bundle: Path, text: ModelText, settings: Settings, limits: Limits, listening: socket, drain: float
) -> None:
    from youtu_onnx.serve.engine.limits import share
    from youtu_onnx.serve.http import workers

    workers.prepare(bundle, console.progress())
    workers.run(workers.Worker(bundle, text.id, settings, share(count, limits), drain, console.note), count, listening)


def _engine(bundle: Path, provider: str | None, chosen: ProviderOptions, limits: Limits) -> Engine:
    from youtu_onnx.core.bundle import Bundle
    from youtu_onnx.runtimes.providers.providers import variant_for
    from youtu_onnx.serve.engine.opening import open_engine

    return open_engine(Bundle.open(bundle, target=variant_for(provider)), provider=provider, options=chosen, limits=limits)


def _tell(url: str, text: ModelText, settings: Settings, loopback: bool, engine: Engine | None = None) -> None:
    """``engine``: None where workers tell of theirs."""
    console.note(f"{text.id} at {url}; the API is described at {url}/docs")
    if engine is not None:
        from youtu_onnx.serve.engine.limits import capacity

        console.note(capacity(engine))
    if not loopback:
        key = "whoever has the API key" if settings.api_keys else "everyone; --api-key closes the API"
        console.note(
            f"This address is reached from other machines, without encryption, by {key}. "
            "Put a proxy with TLS before it on any network you don't trust."
        )
    if "*" in settings.cors_origins and not settings.api_keys:
        console.note("--cors-origin * without a key lets any web page that you open use this server.")
