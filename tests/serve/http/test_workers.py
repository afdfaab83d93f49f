"""``youtu-onnx serve --workers``: several processes that answer as one server, through real HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli_process import ROOT, failed, run
from tests.runtimes.test_prepared_batch import mapped
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.runtimes.ort import prepared

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


class Server:
    """``youtu-onnx serve --workers 2`` on a free port.

    Attributes:
        lines: what it wrote to stderr so far.
    """

    def __init__(self, bundle: Path, *args: str) -> None:
        command = [
            sys.executable,
            "-m",
            "youtu_onnx.cli",
            "serve",
            str(bundle),
            "--workers",
            "2",
            "--port",
            "0",
            "--threads",
            "1",
            "--cache-memory",
            "64MiB",
            "--max-queue",
            "5",
            *args,
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(lambda: len(self.workers()) >= 2)
        self.url = re.search(r"at (http://[^,\s]+)", "".join(self.lines))[1]

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def wait_for(self, ready: Callable[[], bool]) -> None:
        with self._more:
            assert self._more.wait_for(ready, timeout=100), self.lines

    def workers(self) -> list[int]:
        """Those that said that they answer, in that order."""
        return [int(found[1]) for line in self.lines if (found := re.match(r"worker (\d+) answers", line))]

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.url}/metrics", timeout=60).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def complete(self, max_tokens: int = 8) -> dict:
        body = {"prompt": "What is 47 + 38?", "max_tokens": max_tokens, "temperature": 0}
        answer = httpx.post(f"{self.url}/v1/completions", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def serving(bundle: Path, *args: str) -> Iterator[Server]:
    made = Server(bundle, *args)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait(timeout=60)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv(prepared.VARIABLE, raising=False)
        yield


@pytest.fixture(scope="module")
def server(nano_bundle: Callable[..., Path], cache: None) -> Iterator[Server]:
    with serving(nano_bundle()) as made:
        yield made


def test_they_answer_as_one(server):
    texts = {json.dumps(server.complete()["choices"]) for _ in range(6)}
    assert len(texts) == 1  # whoever answers
    assert server.metric("youtu_onnx_requests_total") >= 6
    assert any("packing weights" in line for line in server.lines)  # the first start makes the copy
    workers = server.workers()
    assert len(workers) == 2 and {psutil.Process(pid).ppid() for pid in workers} == {server.process.pid}


def test_metrics_are_sums(server):
    time.sleep(1.5)  # a worker that isn't asked itself writes every second
    before = server.metric("youtu_onnx_completion_tokens_total")
    for _ in range(4):
        server.complete()
    time.sleep(1.5)
    assert server.metric("youtu_onnx_completion_tokens_total") == before + 4 * 8
    assert server.metric("youtu_onnx_places") == 2 * 8 and server.metric("youtu_onnx_queue_limit") == 2 * 3
    assert server.metric("youtu_onnx_cache_limit_bytes") == 64 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_they_map_the_same_weights(server, nano_bundle):
    copy = prepared.find_batch(Bundle.open(nano_bundle()))
    for pid in server.workers()[-2:]:
        pages = mapped(pid, copy.folder / names.MODEL_DATA)
        assert pages["Shared_Clean"] + pages["Shared_Dirty"] > 0 and pages["Private_Dirty"] == pages["Anonymous"] == 0


def test_a_killed_worker_is_replaced(server):
    before, counted = server.workers(), server.metric("youtu_onnx_requests_total")
    os.kill(before[-1], signal.SIGKILL)
    for _ in range(4):
        server.complete()  # the other one goes on meanwhile
    server.wait_for(lambda: len(server.workers()) == len(before) + 1)
    assert server.complete()["usage"]["completion_tokens"] == 8
    assert server.metric("youtu_onnx_places") == 16
    assert server.metric("youtu_onnx_requests_total") >= counted + 5  # the dead one's count


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_signals_let_replies_end(nano_bundle, cache, how):
    """Ctrl-C reaches the parent and the workers, as a terminal sends it."""
    eos = Bundle.open(nano_bundle()).path / names.GENERATION_CONFIG
    ends = json.loads(eos.read_text())["eos_token_id"]
    body = {
        "prompt": "A",
        "max_tokens": 700,
        "stream": True,
        "temperature": 0,
        "logit_bias": {str(id_): -100 for id_ in ([ends] if isinstance(ends, int) else ends)},
        "stream_options": {"include_usage": True},
    }
    with serving(nano_bundle()) as server:
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=100) as answer:
            lines = answer.iter_lines()
            next(lines)
            os.kill(server.process.pid, signal.SIGTERM) if how == "SIGTERM" else os.killpg(server.process.pid, signal.SIGINT)
            rest = list(lines)
        usage = [found for line in rest if '"completion_tokens"' in line and (found := json.loads(line[6:])["usage"])]
        assert usage[-1]["completion_tokens"] == 700 and "data: [DONE]" in rest
        assert server.process.wait(timeout=60) == 0
        assert not any(map(psutil.pid_exists, server.workers()))
        assert not any("Traceback" in line for line in server.lines)


def test_workers_end_with_their_parent(nano_bundle, cache):
    with serving(nano_bundle()) as server:
        server.process.kill()
        server.process.wait()
        psutil.wait_procs([psutil.Process(pid) for pid in server.workers() if psutil.pid_exists(pid)], timeout=60)
        assert not any(map(psutil.pid_exists, server.workers()))
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")


def test_what_would_fail_again_ends_the_server(nano_bundle, cache):
    text = failed(
        run("serve", nano_bundle(), "--workers", "2", "--port", "0", "--context", "100000", **{prepared.VARIABLE: "0"}), 1
    )
    assert "100,000 tokens can't be" in text and "a worker could not start" in text and "packs weights for itself" in text


def test_only_on_the_cpu(nano_bundle):
    assert "--workers are for the CPU" in failed(run("serve", nano_bundle(), "--workers", "2", "--provider", "cuda"), 2)
