"""Clients that mean no good, for the soak to go on beside: they take connections and give as little as they can."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from contextlib import suppress

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
STREAM = json.dumps({"prompt": "Hello!", "max_tokens": 400, "logit_bias": {"1": -100}, "stream": True}).encode()
STREAMING = HEAD + b"Content-Length: %d\r\n\r\n" % len(STREAM) + STREAM
PAGE = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
DRIPS = {  # what is sent at first, and then again and again
    "says nothing": (b"", b""),
    "half a head": (HEAD, b""),
    "half a body": (HEAD + b"Content-Length: 99\r\n\r\n{", b""),
    "a header a second": (HEAD, b"X: y\r\n"),
    "a chunk a second": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a body that nobody wants": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b" "),
    "reads nothing": (PAGE * 300, b""),
    "reads a byte a second": (PAGE * 300, b""),
}
RESETTING = "resets in mid-stream"
KINDS = (*DRIPS, RESETTING)
PATIENCE = 150
"""Seconds after which one leaves that wasn't shut out."""


async def annoy(port: int, number: int, ends: Counter[str]) -> None:
    """One after another, for ever; counts which were shut out by the server, and which were not."""
    chance = random.Random(number)
    while True:
        kind = KINDS[number % len(KINDS)]
        number += 1
        try:
            loop, client = asyncio.get_running_loop(), socket.socket()
            with client:
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(client, ("127.0.0.1", port))
                if kind == RESETTING:
                    await loop.sock_sendall(client, STREAMING)
                    await loop.sock_recv(client, 1)
                    await asyncio.sleep(chance.uniform(0, 0.5))
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    ends[kind] += 1
                    continue
                shut = await _hold(client, kind)
                ends[f"{kind}: {'shut out' if shut else 'still there'}"] += 1
        except OSError:  # no room for it, or shut out at once
            ends[f"{kind}: shut out"] += 1
        await asyncio.sleep(chance.uniform(0, 1))


async def _hold(client: socket.socket, kind: str) -> bool:
    """Keep a connection open; whether the server closed it."""
    loop, (begin, drip) = asyncio.get_running_loop(), DRIPS[kind]
    await loop.sock_sendall(client, begin)
    for _ in range(PATIENCE):
        await asyncio.sleep(1)
        if kind == "reads nothing":
            if _state(client) != ESTABLISHED:
                return True
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                if not await loop.sock_recv(client, 1 if "byte" in kind else 65536):
                    return True
        await loop.sock_sendall(client, drip)
    return False


ESTABLISHED = 1


def _state(client: socket.socket) -> int:
    """Of its connection, as Linux numbers them."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
