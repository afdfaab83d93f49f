"""``youtu-onnx serve``: a bundle as an HTTP server."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import completion, console
from youtu_onnx.cli.options import ProviderArguments, Threads
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.sizes import parse_size
from youtu_onnx.publish.kept.named import folder_called
from youtu_onnx.serve.engine.limits import MAX_QUEUE, Limits
from youtu_onnx.serve.http.settings import KEY_VARIABLE, Settings

if TYPE_CHECKING:
    from youtu_onnx.serve.http import serving
else:
    serving = Deferred("youtu_onnx.serve.http.serving", "serving", extra="serve")


@dataclass(frozen=True)
class AddressArguments:
    """Where the server is reached, by whom, and what it calls its model."""

    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is every one of this machine.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8080
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            show_default=False,
            help=f"Key that requests have to bring; may be repeated. Better in the variable {KEY_VARIABLE}: "
            "a command line is seen by others.",
        ),
    ] = None
    model_name: Annotated[str | None, typer.Option(help="What requests call the model. Default: its checkpoint's name.")] = None

    @property
    def api_keys(self) -> tuple[str, ...]:
        if self.api_key is not None:
            return tuple(self.api_key)
        variable = os.environ.get(KEY_VARIABLE)
        return (variable,) if variable else ()


@dataclass(frozen=True)
class EngineArguments:
    """What the engine may take."""

    places: Annotated[int | None, typer.Option(min=1, help="Replies that are written at once. Default: the engine's.")] = None
    max_queue: Annotated[
        int | None, typer.Option(min=0, help="Requests that may wait for a place; more get a 429. Default: the engine's.")
    ] = None
    context: Annotated[int | None, typer.Option(min=2, help="Most tokens of a prompt and its reply. Default: the model's.")] = (
        None
    )
    cache_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Most memory of all cached tokens, as 2GiB. Default: the engine's.", show_default=False
        ),
    ] = None

    prefix_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="Keep what conversations begin with, system messages and tools, in files here: read once, also over restarts.",
        ),
    ] = None
    prefix_cache_size: Annotated[str, typer.Option(metavar="SIZE", help="Most bytes of these files together.")] = "4GiB"

    def limits(self, threads: int | None) -> Limits:
        """What was asked for; the rest is as one engine alone chooses."""
        return Limits(
            threads=threads,
            places=self.places,
            max_queue=MAX_QUEUE if self.max_queue is None else self.max_queue,
            context=self.context,
            cache_memory=None if self.cache_memory is None else _size(self.cache_memory, "--cache-memory"),
            prefix_folder=self.prefix_cache,
            prefix_bytes=_size(self.prefix_cache_size, "--prefix-cache-size"),
        )


@dataclass(frozen=True)
class RequestArguments:
    """What requests may be, where they may come from, and how long they are answered in the end."""

    body_limit: Annotated[str, typer.Option(metavar="SIZE", help="Largest body of a request.")] = "4MiB"
    limit_connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Connections that may be open at once, of each worker. Default: 1000, or what ulimit -n leaves room for.",
            show_default=False,
        ),
    ] = None
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            show_default=False,
            help="Web pages of this origin (https://example.org) may use the server; may be repeated; * is all.",
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            show_default=False,
            help="Another name by which a server on 127.0.0.1 may be asked, behind a proxy say; may be repeated.",
        ),
    ] = None
    adapters: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="Let requests to /adapters load LoRA adapters from this folder, each in a folder of its name, and unload them.",
        ),
    ] = None
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Write a line for each answered request: what was asked, not what was said.")
    ] = False
    drain: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="On SIGTERM or Ctrl-C, how long replies may go on.")] = (
        30.0
    )

    def settings(self, address: AddressArguments, *, saves_prefixes: bool) -> Settings:
        return serving.settings(
            address.host,
            api_keys=address.api_keys,
            names=tuple(self.allow_host or ()),
            cors_origins=tuple(self.cors_origin or ()),
            body_limit=_size(self.body_limit, "--body-limit"),
            connections=self.limit_connections,
            adapters=self.adapters,
            log_requests=self.log_requests,
            saves_prefixes=saves_prefixes,
        )


@dataclass(frozen=True)
class SeveralArguments:
    """What several bundles in one server may take."""

    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Of several bundles: most memory that those loaded at a time may take, cached tokens included, as 24GiB. "
            "Default: most of what is free.",
            show_default=False,
        ),
    ] = None
    unload_after: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Of several bundles: unload one that nobody has asked for so long. Default: only when another needs the memory.",
            show_default=False,
        ),
    ] = None


Bundles = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]BUNDLE",
        help="Folders that youtu-onnx export wrote, or names of models that youtu-onnx run keeps. Of several, requests choose "
        "one by its name, or get the first.",
        autocompletion=completion.bundles_and_kept,
    ),
]


def serve(
    bundle: Bundles,
    *,
    address: AddressArguments,
    engine: EngineArguments,
    where: ProviderArguments,
    threads: Threads = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that answer, on the CPU. They share the weights; threads, --max-queue and --cache-memory are "
            "divided among them, unless --threads says how many each has.",
        ),
    ] = 1,
    several: SeveralArguments,
    requests: RequestArguments,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    bundles = serving.chosen_bundles(bundle, address.model_name)
    chosen = serving.Serving(
        tuple(replace(one, path=folder_called(str(one.path))) for one in bundles),
        requests.settings(address, saves_prefixes=engine.prefix_cache is not None),
        host=address.host,
        port=address.port,
        provider=where.choice(),
        limits=engine.limits(threads),
        memory=None if several.memory is None else _size(several.memory, "--memory"),
        idle_seconds=several.unload_after,
        workers=workers,
        drain_seconds=requests.drain,
        open_page=open_page,
    )
    serving.serve(chosen, progress(), console.note)


def _size(text: str, option: str) -> int:
    size = parse_size(text)
    if size is None:
        raise UsageError(f"{option} is {text!r}; expected a size, as 4MiB")
    return size
