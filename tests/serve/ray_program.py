"""Two replicas on this host, asked through Ray's proxy; what became of it, as JSON. Run as a program by test_ray.py."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import ray
from ray import serve

from tests.runtimes.test_prepared_batch import mapped
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.runtimes.ort import prepared
from youtu_onnx.serve.ray import DEPLOYMENT, Arguments, app

bundle, temporary = sys.argv[1:]
begun = time.monotonic()
ray.init(
    num_cpus=2,
    include_dashboard=False,
    logging_level="error",
    log_to_driver=False,
    object_store_memory=100 << 20,
    _temp_dir=temporary,
)
started = time.monotonic()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(app(Arguments(bundle=bundle, replicas=2, cpus=1, cache_memory=32 << 20)), name="test", route_prefix="/")
ready = time.monotonic()
url = f"http://127.0.0.1:{port}"


def ask(number: int) -> str:
    body = {"prompt": "What is 47 + 38?", "max_tokens": 8, "temperature": 0}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    return f"{answer.status_code} {answer.json().get('choices')}"


with ThreadPoolExecutor(8) as pool:
    answers = Counter(pool.map(ask, range(32)))
with httpx.stream("POST", f"{url}/chat", json={"prompt": "Hi", "max_tokens": 8, "stream": True}, timeout=60) as stream:
    events = [line for line in stream.iter_lines() if line]
states = serve.status().applications["test"].deployments[DEPLOYMENT].replica_states
steps = set()
deadline = time.monotonic() + 30
while len(steps) < 2 and time.monotonic() < deadline:  # each answer is of one replica, with its own numbers
    steps |= {
        line for line in httpx.get(f"{url}/metrics").text.splitlines() if line.startswith("youtu_onnx_completion_tokens_total ")
    }
data = prepared.find_batch(Bundle.open(bundle)).folder / names.MODEL_DATA
replicas = [
    one
    for one in psutil.process_iter(["cmdline"])
    if "ray::ServeReplica:test" in " ".join(one.info["cmdline"] or [])
    and psutil.Process().pid in [parent.pid for parent in one.parents()]
]
print(
    json.dumps(
        {
            "answers": answers,
            "events": events,
            "replicas": {str(state): count for state, count in states.items()},
            "completion_tokens": sorted(steps),
            "mapped": [mapped(one.pid, data) for one in replicas],
            "resident": [one.memory_info().rss for one in replicas],
            "folder": str(Path(data).parent),
            "seconds": {"ray": round(started - begun, 1), "replicas": round(ready - started, 1)},
        }
    )
)
serve.shutdown()
ray.shutdown()
