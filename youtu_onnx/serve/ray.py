"""The HTTP application on Ray Serve: replicas on one machine or on those of a Ray cluster.

``serve run youtu_onnx.serve.ray:app bundle=/models/youtu-int4 replicas=2 cpus=4``. Each replica is a process with an engine of
its own. Those of one machine map the same packed weights, from a copy that the first of them makes. Ray chooses the replica
for each request: of two at random, the one with fewer in hand.
"""

# No "from __future__ import annotations": Ray reads from app's own annotation that its arguments are of a class.

import os
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.serve.engine.limits import MAX_QUEUE, Limits, free_cache_memory
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.explain_route import explainer_of
from youtu_onnx.serve.http.settings import KEY_VARIABLE, LOOPBACK, Settings
from youtu_onnx.serve.http.workers import prepare
from youtu_onnx.serve.text.model_text import ModelText

DEPLOYMENT = "youtu-onnx"
SPARE = 8
"""Requests beside those that the engine holds: for /health, /metrics and the pages, which must not wait for replies."""


class Arguments(BaseModel):
    """What ``serve run`` or a configuration file's ``args`` say.

    Attributes:
        bundle: the bundle's folder; the same on every machine.
        replicas: processes, over all machines.
        cpus: processors that Ray keeps for each replica, and its threads.
        name: what requests call the model; None: its checkpoint's name.
        places, max_queue, context: of each replica, as ``youtu-onnx serve`` has them.
        cache_memory: bytes of cached tokens of each replica; None: its part of half of its machine's free memory, as if all
            replicas were there.
        hosts: names by which the server may be asked, or ``*`` for any; needed where others than this machine ask.
    """

    model_config = ConfigDict(extra="forbid")

    bundle: str
    replicas: int = Field(1, ge=1)
    cpus: int = Field(1, ge=1)
    name: str | None = None
    places: int | None = Field(None, ge=1)
    max_queue: int = Field(MAX_QUEUE, ge=0)
    context: int | None = Field(None, ge=2)
    cache_memory: int | None = Field(None, ge=1)
    hosts: str = ",".join(LOOPBACK)


def app(arguments: Arguments) -> serve.Application:
    """The application for ``serve run`` and ``serve.run``. Keys that requests have to bring are taken from
    ``YOUTU_ONNX_API_KEY`` here, where it is called, and not from arguments, which Ray's dashboard shows."""
    key = os.environ.get(KEY_VARIABLE)
    hosts = None if arguments.hosts == "*" else tuple(name.strip().lower() for name in arguments.hosts.split(","))
    settings = Settings(api_keys=(key,) if key else (), hosts=hosts)

    def replica() -> FastAPI:
        return open_replica(arguments, settings)

    places = arguments.places or 8
    deployment = serve.deployment(
        serve.ingress(replica)(),
        name=DEPLOYMENT,
        num_replicas=arguments.replicas,
        ray_actor_options={"num_cpus": arguments.cpus},
        max_ongoing_requests=places + arguments.max_queue + SPARE,
    )
    return deployment.bind()


def open_replica(arguments: Arguments, settings: Settings) -> FastAPI:
    """The engine and the application over it. Runs in the replica's process.

    Raises:
        As :func:`youtu_onnx.serve.engine.opening.open_engine` and :func:`youtu_onnx.serve.http.workers.prepare`; Ray shows it and
        tries again.
    """
    bundle = Path(arguments.bundle)
    prepare(bundle)
    limits = Limits(
        threads=arguments.cpus,
        places=arguments.places,
        max_queue=arguments.max_queue,
        context=arguments.context,
        cache_memory=arguments.cache_memory or free_cache_memory(arguments.replicas),
    )
    opened, text = Bundle.open(bundle, target="cpu"), ModelText.open(bundle, name=arguments.name, target="cpu")
    engine = open_engine(opened, provider="cpu", limits=limits)
    return application(engine, text=text, settings=settings, explainer=explainer_of(opened, text, ProviderChoice("cpu")))
