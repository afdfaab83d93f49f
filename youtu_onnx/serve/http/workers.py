"""Several processes behind one socket: uvicorn's own supervisor, and in each process an engine.

The parent listens, has the bundle's packed weights prepared (all map the same pages of that copy), starts the workers, and
starts again those that die. The kernel gives each connection to a worker that waits for one. Workers share weights, the port
and the sums at ``/metrics``; each has its own queue, places and cached tokens.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import ResourceError, YoutuOnnxError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.runtimes.ort import prepared, preparing
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.serve.engine.limits import Limits, capacity
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.http import connections
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.bundles import Bundles, bundles_of
from youtu_onnx.serve.http.explain_route import explainer_of
from youtu_onnx.serve.http.server import CLOSING_SECONDS
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.http.shared_metrics import SharedMetrics
from youtu_onnx.serve.text.model_text import ModelText

FAILED_TO_START = 3
"""The exit code of a worker that would fail the same way again: on it uvicorn ends the server instead of trying for ever."""

HEALTH_SECONDS = 20
"""A worker that doesn't answer its parent for so long is ended and started again; uvicorn's 5 may pass while a busy machine
starts Python. One that dies while it is asked is missed for as long, so it can't be much more."""

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True)
class Worker:
    """What a worker does; sent to its process. Called there, it opens the engine and gives the application.

    Attributes:
        bundle, name: as :meth:`ModelText.open` takes them.
        limits: of this worker's engine.
        drain_seconds: on SIGTERM, how long replies may go on.
        told: called in the worker with a line for the user.
    """

    bundle: Path
    name: str | None
    settings: Settings
    limits: Limits
    drain_seconds: float
    told: Callable[[str], None]

    def __call__(self) -> FastAPI:
        """Runs inside ``uvicorn.Server.serve``, whose signal handlers are set by then."""
        try:
            text = ModelText.open(self.bundle, name=self.name, target="cpu")
            bundle = Bundle.open(self.bundle, target="cpu")
            engine = open_engine(bundle, provider="cpu", limits=self.limits)
        except Exception as error:  # noqa: BLE001
            why = str(error) if isinstance(error, YoutuOnnxError) else traceback.format_exc()
            self.told(f"worker {os.getpid()} can't start: {why}")
            os._exit(FAILED_TO_START)  # at once: the parent would wait HEALTH_SECONDS for the answer of one that is shutting down
        explainer = explainer_of(bundle, text, ProviderChoice("cpu"))
        app = application(
            engine, text=text, settings=self.settings, metrics=SharedMetrics(engine), explainer=explainer, logged=self.told
        )
        _end_with_parent()
        _drain_on_signal(bundles_of(app), self.drain_seconds)
        self.told(f"worker {os.getpid()} answers: {capacity(engine)}")
        return app


def run(worker: Worker, workers: int, listening: socket) -> None:
    """Answer until SIGTERM or SIGINT, which let all workers drain.

    Raises:
        ResourceError: a worker can't start; it said why.
    """
    with tempfile.TemporaryDirectory(prefix="youtu-onnx-metrics-") as folder:
        before = os.environ.get(METRICS_VARIABLE)
        os.environ[METRICS_VARIABLE] = folder  # which prometheus_client reads when a worker's process imports it
        try:
            config = uvicorn.Config(
                worker,
                factory=True,
                workers=workers,
                log_config=None,
                access_log=False,
                lifespan="off",
                http=connections.protocol(worker.settings),
                backlog=connections.BACKLOG,
                server_header=False,
                ws="none",
                timeout_keep_alive=30,
                timeout_graceful_shutdown=int(worker.drain_seconds) + CLOSING_SECONDS,
                timeout_worker_healthcheck=HEALTH_SECONDS,
            )
            supervisor = Multiprocess(config, [listening])
            supervisor.run()
        finally:
            del os.environ[METRICS_VARIABLE]
            if before is not None:
                os.environ[METRICS_VARIABLE] = before
    if any(process.exitcode == FAILED_TO_START for process in supervisor.processes):
        raise ResourceError("a worker could not start", hint="its message is above")


def prepare(bundle: Path, progress: Progress | None = None) -> None:
    """Have the packed weights that workers share, unless the user switched that off or ONNX Runtime packs none.

    Raises:
        As :func:`youtu_onnx.runtimes.ort.preparing.make`.
    """
    progress = progress or Silent()
    if os.environ.get(prepared.VARIABLE) == "0":
        progress.note(f"{prepared.VARIABLE}=0: every worker packs weights for itself")
        return
    opened = Bundle.open(bundle, target="cpu")
    try:
        preparing.make(opened, progress, names.BATCH if opened.manifest.slots else names.MODEL)
    except preparing.NothingPacked as nothing:
        progress.note(nothing.message)
    except ResourceError as error:
        raise ResourceError(
            error.message, hint=f"{error.hint}; or set {prepared.VARIABLE}=0, and every worker packs weights in memory of its own"
        ) from error


def _drain_on_signal(bundles: Bundles, seconds: float) -> None:
    """Before uvicorn stops on a signal, have the engine finish, or end, what it writes.

    The parent sends SIGTERM; a terminal's Ctrl-C reaches the parent, too, so that it counts here only while draining, the
    second time: then nothing is waited for.
    """
    stop = signal.getsignal(signal.SIGTERM)
    assert callable(stop)

    def handle(number: int, frame: FrameType | None) -> None:
        if bundles.gate.draining:
            if number == signal.SIGINT:
                stop(number, frame)
            return
        if number == signal.SIGINT:
            return
        bundles.gate.draining = True
        threading.Thread(target=bundles.close, args=(seconds,), name="drain", daemon=True).start()
        stop(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _end_with_parent() -> None:
    """Nobody else would end a worker whose parent was killed, and it would keep the port."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
