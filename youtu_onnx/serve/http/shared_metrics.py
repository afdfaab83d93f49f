"""Metrics of several workers as one: each writes its own to files in a folder, and whichever is asked sums all.

The files are prometheus_client's multiprocess mode. Its first import in a process switches that on where
``PROMETHEUS_MULTIPROC_DIR`` names the folder, so a worker's process has to start with the variable set.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import prometheus_client
import psutil
from prometheus_client import multiprocess

from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.http.metrics import EngineCollector, Metrics

EVERY_SECONDS = 1.0
"""How old the engine's numbers of a worker that wasn't asked may be."""


class SharedMetrics(Metrics):
    """A worker's."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._collector = EngineCollector(engine)
        self._own = prometheus_client.CollectorRegistry()  # it only keeps names apart from those of the base's collector
        self._gauges: dict[str, prometheus_client.Gauge] = {}
        self._counters: dict[str, prometheus_client.Counter] = {}
        self._counted: dict[str, float] = {}
        self._lock = threading.Lock()
        self._write()
        threading.Thread(target=self._keep_writing, name="metrics", daemon=True).start()

    def text(self) -> bytes:
        self._write()
        _forget_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return prometheus_client.generate_latest(registry)

    def _keep_writing(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_SECONDS):
            self._write()

    def _write(self) -> None:
        """The engine's numbers into the files."""
        with self._lock:
            for family in self._collector.collect():
                name, (sample,) = family.name, family.samples
                if family.type == "gauge":
                    if name not in self._gauges:
                        self._gauges[name] = prometheus_client.Gauge(
                            name, family.documentation, registry=self._own, multiprocess_mode="livesum"
                        )
                    self._gauges[name].set(sample.value)
                    continue
                if name not in self._counters:
                    self._counters[name] = prometheus_client.Counter(name, family.documentation, registry=self._own)
                self._counters[name].inc(sample.value - self._counted.get(name, 0))
                self._counted[name] = sample.value


def _forget_dead(folder: Path) -> None:
    """Gauges of workers that are gone. Their counters stay: sums must not fall."""
    for path in folder.glob("gauge_live*_*.db"):
        found = re.search(r"_(\d+)\.db$", path.name)
        if found and not psutil.pid_exists(int(found[1])):
            multiprocess.mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]
