"""How much faster several clients are served together, and beside llama.cpp's server.

    python -m benchmarks.serving BUNDLE --clients 1 8 --rounds 3
    python -m benchmarks.serving BUNDLE --llama-server llama.cpp/build/bin/llama-server --gguf q4_0.gguf

``python -m benchmarks.llama_cpp --server`` builds that one.

Each round starts a server, warms it up, lets 1 and then 8 clients send one request each at the same moment, and stops it; the
servers take turns. Prompts differ, so that nothing is reused. Tokens a second are all clients' tokens by the time from the first
request to the last token, prompts included; *decoding* counts from the moment when every client has its first token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

WORDS = (
    "river",
    "stone",
    "seven",
    "apple",
    "train",
    "light",
    "under",
    "green",
    "north",
    "paper",
    "water",
    "music",
    "sixty",
    "cloud",
)
START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A command with ``{port}`` in it, and what its requests hold beside OpenAI's fields."""

    name: str
    command: tuple[str, ...]
    fields: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One go of some clients: tokens of all, seconds of all, seconds and tokens while all were decoding, first tokens."""

    server: str
    clients: int
    tokens: int
    seconds: float
    decode_tokens: float
    decode_seconds: float
    first: tuple[float, ...]

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def decode_per_second(self) -> float:
        return self.decode_tokens / self.decode_seconds if self.decode_seconds > 0 else 0.0


@contextmanager
def running(server: Server) -> Iterator[str]:
    """Its address while it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.replace("{port}", str(port)) for part in server.command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(START_SECONDS * 5):
            if process.poll() is not None:
                raise RuntimeError(f"{server.name} ended with {process.returncode}: {' '.join(command)}")
            try:
                if httpx.get(f"{address}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@dataclass(frozen=True)
class Reply:
    """When its pieces of text came, and how many tokens they were."""

    times: list[float]
    tokens: int


async def reply(client: httpx.AsyncClient, server: Server, prompt: str, max_tokens: int) -> Reply:
    body = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | server.fields
    times, tokens = [], 0
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{server.name}: {answer.status_code} {(await answer.aread()).decode()}")
        async for line in answer.aiter_lines():
            event = json.loads(line[6:]) if line.startswith("data: {") else {}
            if event.get("choices"):
                times.append(time.perf_counter())
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
    return Reply(times, tokens)


async def go(address: str, server: Server, clients: int, words: int, max_tokens: int, seed: int) -> Measured:
    chosen = random.Random(f"{seed} {clients}")  # or else the only client's prompt would come again among the eight
    prompts = [" ".join(chosen.choices(WORDS, k=words)) for _ in range(clients)]
    async with httpx.AsyncClient(base_url=address, timeout=None) as client:
        started = time.perf_counter()
        replies = await asyncio.gather(*(reply(client, server, prompt, max_tokens) for prompt in prompts))
    begin, end = max(one.times[0] for one in replies), min(one.times[-1] for one in replies)
    inside = sum(one.tokens * sum(begin < moment <= end for moment in one.times) / len(one.times) for one in replies)
    return Measured(
        server.name,
        clients,
        sum(one.tokens for one in replies),
        max(one.times[-1] for one in replies) - started,
        inside,
        end - begin,
        tuple(one.times[0] - started for one in replies),
    )


def measure(servers: Sequence[Server], clients: Sequence[int], rounds: int, words: int, max_tokens: int) -> list[Measured]:
    found = []
    for number in range(rounds):
        for server in servers:
            with running(server) as address:
                asyncio.run(go(address, server, 2, words, 8, 10**6))
                for count in clients:
                    one = asyncio.run(go(address, server, count, words, max_tokens, number))
                    found.append(one)
                    print(
                        f"{server.name}, {count} clients: {one.tokens_per_second:.1f} tok/s, decoding "
                        f"{one.decode_per_second:.1f}, first token {median(one.first):.2f} s",
                        file=sys.stderr,
                    )
    return found


def table(found: Sequence[Measured], servers: Sequence[Server], clients: Sequence[int]) -> str:
    lines = [
        "| server | clients | tokens/s | decoding | by one client | first token, median | longest |",
        "|---|---|---|---|---|---|---|",
    ]
    for server in servers:
        alone: float | None = None
        for count in clients:
            some = [one for one in found if (one.server, one.clients) == (server.name, count)]
            speed, decode = median(one.tokens_per_second for one in some), median(one.decode_per_second for one in some)
            alone = alone or speed
            first = [seconds for one in some for seconds in one.first]
            lines.append(
                f"| {server.name} | {count} | {speed:.1f} | {decode:.1f} | {speed / alone:.2f}x | "
                f"{median(first):.2f} s | {max(first):.2f} s |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=16, help="of a prompt")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--llama-server", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    most = max(options.clients)
    servers = [
        Server(
            "youtu-onnx",
            (
                sys.executable,
                "-m",
                "youtu_onnx.cli",
                "serve",
                str(options.bundle),
                "--port",
                "{port}",
                "--threads",
                str(options.threads),
            ),
            {},
        )
    ]
    if options.llama_server:
        servers.append(
            Server(
                "llama-server",
                (
                    str(options.llama_server),
                    "-m",
                    str(options.gguf),
                    "--port",
                    "{port}",
                    "-t",
                    str(options.threads),
                    "-np",
                    str(most),
                    "-c",
                    str(most * 2048),
                    "--no-jinja",
                    "--chat-template",
                    "chatml",
                ),
                {"ignore_eos": True, "cache_prompt": False},
            )
        )
    found = measure(servers, options.clients, options.rounds, options.words, options.max_tokens)
    print(table(found, servers, options.clients))


if __name__ == "__main__":
    main()
