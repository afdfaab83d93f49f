"""Ways to ask an exported model, greedily, with an adapter that is loaded and unloaded while it runs."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import youtu_onnx
from youtu_onnx.families.adapters.choice import BASE

MOST = 320
"""Tokens of a reply."""
STARTING = 120.0
"""Seconds that a server may take to begin."""


@dataclass(frozen=True)
class Said:
    """A reply: all that can be compared of it, and its answer. From Python `written` are the tokens, from a server the text of
    thought and answer and how many tokens they are."""

    written: tuple[object, ...]
    answer: str


class Way(Protocol):
    @property
    def name(self) -> str: ...

    def ask(self, prompt: str, adapter: str | None) -> Said:
        """A greedy reply; `adapter` None asks the base."""

    def load(self, name: str, folder: Path) -> None:
        """A folder of PEFT's."""

    def unload(self, name: str) -> None: ...

    def close(self) -> None: ...


class Python:
    """`youtu_onnx.load`."""

    name = "Python"

    def __init__(self, bundle: Path, threads: int):
        self.model = youtu_onnx.load(bundle, threads=threads)

    def ask(self, prompt: str, adapter: str | None) -> Said:
        made = self.model.generate(prompt, greedy=True, max_tokens=MOST, adapter=adapter or BASE)
        return Said(tuple(made.token_ids), made.answer.strip())

    def load(self, name: str, folder: Path) -> None:
        self.model.load_adapter(name, folder)

    def unload(self, name: str) -> None:
        self.model.unload_adapter(name)

    def close(self) -> None:
        self.model.close()


class Server:
    """A server's HTTP API at `url`, which may load adapters from the folder `shelf`."""

    name = "server"

    def __init__(self, url: str, shelf: Path, ended: Callable[[], None] = lambda: None):
        self.url, self.shelf, self.ended = url, shelf, ended
        self.model: str = self.call("GET", "/v1/models")["data"][0]["id"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(asked, timeout=300) as reply:  # a machine that is busy answers late
            return json.load(reply)

    def ask(self, prompt: str, adapter: str | None) -> Said:
        model = f"{self.model}:{adapter}" if adapter else self.model
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": MOST}
        made = self.call("POST", "/v1/chat/completions", body)
        message = made["choices"][0]["message"]
        thought, answer = message.get("reasoning_content") or "", message["content"] or ""
        return Said((thought, answer, made["usage"]["completion_tokens"]), answer.strip())

    def load(self, name: str, folder: Path) -> None:
        shutil.copytree(folder, self.shelf / name, dirs_exist_ok=True)
        self.call("POST", "/adapters", {"name": name})

    def unload(self, name: str) -> None:
        self.call("DELETE", f"/adapters/{name}")

    def close(self) -> None:
        self.ended()


def started(bundle: Path, threads: int) -> Server:
    """`youtu-onnx serve` in a process of its own, with an empty folder of adapters. RuntimeError where it doesn't begin."""
    shelf = tempfile.TemporaryDirectory(prefix="adapters-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--adapters", shelf.name, "--threads", str(threads)]
    process = subprocess.Popen(
        [sys.executable, "-m", "youtu_onnx.cli", "serve", str(bundle), *options], stderr=subprocess.DEVNULL
    )

    def end() -> None:
        process.terminate()
        process.wait(30)
        shelf.cleanup()

    until = time.monotonic() + STARTING
    while process.poll() is None and time.monotonic() < until:
        try:
            return Server(f"http://127.0.0.1:{port}", Path(shelf.name), end)
        except urllib.error.URLError:
            time.sleep(0.2)
    end()
    raise RuntimeError(f"youtu-onnx serve {bundle} didn't begin; give that command yourself to see why")
