"""Thousands of requests of all kinds to one server process: every answer is checked, and its memory has to stay flat.

    python -m benchmarks.soak BUNDLE --requests 5000
    python -m benchmarks.soak BUNDLE --requests 5000 --json soak.json --picture docs/pictures/soak.svg
    python -m benchmarks.soak BUNDLE --requests 5000 --hostile 200

Several clients send a mix chosen by ``--seed``: chats and completions, streamed and whole, JSON schemas, tool calls, sampling,
long prompts, clients that leave, requests that make no sense, Markdown, metrics. The queue is so short that some are turned away
with a 429 and come again. Before that, each request is sent once alone; later answers have to equal that first one.
``--hostile`` has so many clients beside them that hold connections open, read nothing, or break off.

Answers to the same request are the same to the last token, and to the last digit of the logprobs that long prompts and schemas
are asked with: the requests have a temperature of 0 or a seed.

Memory is what the process has for itself (``RssAnon``), looked at once a second. The first 30 % of the requests fill caches and
the allocator's pools and aren't counted. Of the rest it is flat if the last quarter's median is at most 3 % over the first
quarter's, and the Theil-Sen slope (the median of the slopes between all pairs of looks) of the later half is at most 1 % in 1,000
requests.

Exit code 1 where an answer was wrong, memory wasn't flat, or something was still taken at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from benchmarks.processes import Memory
from benchmarks.soak_hostile import annoy
from benchmarks.soak_requests import Answer, ask, every, request
from docs.pictures.soak_chart import memory_picture

WARM_UP, MOST_GROWTH, MOST_SLOPE = 0.3, 0.03, 0.01
SETTLE_SECONDS = 120


@dataclass(frozen=True)
class Look:
    """At the server, after so many answers: megabytes, open descriptors, threads."""

    answers: int
    memory: float
    descriptors: int
    threads: int

    @classmethod
    def at(cls, pid: int, answers: int) -> Look:
        memory, process = Memory.of(pid), psutil.Process(pid)
        assert memory is not None
        return cls(answers, (memory.anonymous or memory.resident) / 1e6, process.num_fds(), process.num_threads())


@dataclass(frozen=True)
class Report:
    """``slope``: MB in 1,000 requests, of the later half; ``first``: seconds to a stream's first text, at 50, 95 and 99 %."""

    answers: dict[str, dict[str, int]]
    turned_away: int
    compared: int
    wrong: list[str]
    seconds: float
    first: tuple[float, float, float]
    looks: list[Look]
    first_quarter: float
    last_quarter: float
    slope: float
    health: dict[str, Any]
    before: Look
    after: Look
    hostile: dict[str, int]

    @property
    def flat(self) -> bool:
        return self.last_quarter <= self.first_quarter * (1 + MOST_GROWTH) and self.slope <= self.last_quarter * MOST_SLOPE

    @property
    def settled(self) -> bool:
        return (
            self.health["queued"] == self.health["running"] == 0
            and self.after.descriptors <= self.before.descriptors
            and self.after.threads <= max(one.threads for one in self.looks[: len(self.looks) // 2])
        )

    def __str__(self) -> str:
        count = sum(sum(statuses.values()) for statuses in self.answers.values())
        lines = ["| kind | answers |", "|---|---|"]
        lines += [
            f"| {kind} | {', '.join(f'{n} x {status}' for status, n in sorted(statuses.items()))} |"
            for kind, statuses in sorted(self.answers.items())
        ]
        p50, p95, p99 = self.first
        return "\n".join(
            [
                *lines,
                "",
                f"{count} requests in {self.seconds:.0f} s ({count / self.seconds:.1f} a second), {self.turned_away} times a 429 "
                f"before; wrong answers: {len(self.wrong)}",
                *self.wrong[:20],
                f"{self.compared} answers compared with the first{'' if self.wrong else ': none differs'}",
                f"time to the first text of a stream, 429s not counted: p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s",
                f"memory: {self.first_quarter:.1f} MB in the first quarter, {self.last_quarter:.1f} MB in the last one, "
                f"{self.slope:+.2f} MB in 1,000 requests: {'flat' if self.flat else 'NOT FLAT'}",
                f"open descriptors {self.before.descriptors} before, at most {max(one.descriptors for one in self.looks)}, "
                f"{self.after.descriptors} after; threads {self.before.threads}, at most "
                f"{max(one.threads for one in self.looks)}, {self.after.threads}",
                *(f"hostile clients: {kind} x {count}" for kind, count in sorted(self.hostile.items())),
                f"at the end {self.health['queued']} queued, {self.health['running']} running",
            ]
        )


@contextmanager
def running(bundle: Path, options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """A server's address and process id."""
    command = [sys.executable, "-m", "youtu_onnx.cli", "serve", str(bundle), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"http://\S+?:\d+", said)
        if not found:
            raise RuntimeError(f"the server ended: {said}{process.stderr.read()}")
        yield found[0], process.pid
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=60)
        sys.stderr.write(rest[-5000:])


async def soak(address: str, pid: int, requests: int, clients: int, seed: int, hostile: int) -> Report:
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients, keepalive_expiry=5)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as client:
        alone = [await ask(client, asked) for asked in every(seed)]
        expected = {answer.asked.key: answer for answer in alone}
        found: list[Answer] = []
        looks: list[Look] = []
        numbers = iter(range(requests))

        async def work() -> None:
            for number in numbers:
                found.append(await _checked(client, seed, number, expected))

        async def watch() -> None:
            while True:
                looks.append(Look.at(pid, len(found)))
                await asyncio.sleep(1)

        before, ends = Look.at(pid, 0), Counter[str]()
        annoying = [asyncio.create_task(annoy(httpx.URL(address).port or 80, number, ends)) for number in range(hostile)]
        watching, began = asyncio.create_task(watch()), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(clients)))
        seconds = time.perf_counter() - began
        for task in (watching, *annoying):
            task.cancel()
        await asyncio.gather(watching, *annoying, return_exceptions=True)
    health, after = await _settled(address, pid, requests, before)
    wrong = [f"{one.asked.kind}: {text}" for one in (*alone, *found) for text in one.wrong]
    return _report(found, wrong, seconds, looks, health, before, after, ends)


async def _checked(client: httpx.AsyncClient, seed: int, number: int, expected: dict[str | None, Answer]) -> Answer:
    asked = request(seed, number)
    try:
        answer = await ask(client, asked)
    except (httpx.HTTPError, ValueError, LookupError) as error:
        return Answer(asked, -1, wrong=[f"request {number}: {type(error).__name__} {error}"])
    alone = expected.get(asked.key)
    if alone is not None and not answer.wrong and answer.text != alone.text:
        answer.wrong.append(
            f"request {number} ({asked.key}) has another answer than alone: {answer.text[:200]!r} and not {alone.text[:200]!r}"
        )
    return answer


async def _settled(address: str, pid: int, requests: int, before: Look) -> tuple[dict[str, Any], Look]:
    """Once the clients' connections are gone; at the latest after so many seconds."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        for _ in range(SETTLE_SECONDS):
            health = (await client.get("/health", headers={"Connection": "close"})).json()
            after = Look.at(pid, requests)
            if health["running"] + health["queued"] == 0 and after.descriptors <= before.descriptors:
                break
            await asyncio.sleep(1)
    return health, after


def _report(
    found: list[Answer],
    wrong: list[str],
    seconds: float,
    looks: list[Look],
    health: dict[str, Any],
    before: Look,
    after: Look,
    ends: Counter[str],
) -> Report:
    answers: dict[str, Counter[str]] = {}
    for one in found:
        answers.setdefault(one.asked.kind, Counter())[str(one.status) if one.status else "left before"] += 1
    counted = [one for one in looks if one.answers >= WARM_UP * len(found)]
    if len(counted) < 8:
        raise RuntimeError(f"it was over after {seconds:.0f} s, too soon to look at its memory; send more --requests")
    quarter = len(counted) // 4
    first = sorted(one.first for one in found if one.first is not None)
    return Report(
        {kind: dict(statuses) for kind, statuses in answers.items()},
        sum(one.busy for one in found),
        sum(one.asked.key is not None for one in found),
        wrong,
        seconds,
        (_at(first, 0.5), _at(first, 0.95), _at(first, 0.99)),
        looks,
        median(one.memory for one in counted[:quarter]),
        median(one.memory for one in counted[-quarter:]),
        slope(counted[len(counted) // 2 :]) * 1000,
        health,
        before,
        after,
        dict(ends),
    )


def slope(looks: Sequence[Look]) -> float:
    """MB a request, Theil-Sen."""
    return median(
        [
            (b.memory - a.memory) / (b.answers - a.answers)
            for number, a in enumerate(looks)
            for b in looks[number + 1 :]
            if b.answers > a.answers
        ]
        or [0.0]
    )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hostile", type=int, default=0, help="so many clients that mean no good")
    parser.add_argument("--max-queue", default="4", help="the server's")
    parser.add_argument("--cache-memory", default="48MiB", help="the server's; filled in the warm-up")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--picture", type=Path, help="write a chart of memory over answers here, as SVG")
    options = parser.parse_args()
    with running(options.bundle, ["--max-queue", options.max_queue, "--cache-memory", options.cache_memory]) as (address, pid):
        report = asyncio.run(soak(address, pid, options.requests, options.clients, options.seed, options.hostile))
    if options.json:
        options.json.write_text(json.dumps(asdict(report) | {"flat": report.flat, "settled": report.settled}, indent=1) + "\n")
    if options.picture:
        options.picture.write_text(memory_picture([(one.answers, one.memory) for one in report.looks]), encoding="utf-8")
    print(report)
    return 0 if report.flat and report.settled and not report.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
