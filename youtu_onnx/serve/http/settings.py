"""What a server allows, asks for and keeps to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KEY_VARIABLE = "YOUTU_ONNX_API_KEY"
"""In the environment: a key that requests have to bring."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names by which a browser on this machine reaches a loopback server."""


@dataclass(frozen=True)
class Settings:
    """Limits and permissions of one server.

    Attributes:
        api_keys: any of them opens the API; none: it is open.
        hosts: what the Host header may name; None: anything. A page that points its own name at 127.0.0.1 (DNS rebinding)
            fails here.
        cors_origins: pages of these origins may read answers; ``*`` is all.
        body_limit: bytes of a request's body.
        body_seconds: time in which a body has to arrive.
        depth_limit: objects and lists inside one another in a body.
        replies_limit: the most of ``n`` times prompts.
        markdown_limit: characters that ``/render`` takes.
        explain_characters: of a reply that ``/explain`` takes.
        explain_tokens: of prompt and reply together.
        explain_queue: requests to ``/explain`` that may wait; one is answered at a time.
        keep_alive_seconds: between comments in a stream that has nothing to say, so that proxies keep it open.
        connections: open at once; None: as many as :func:`connection_limit` allows.
        idle_seconds: a connection may stand open without a request whose head is complete.
        stall_seconds: an answer may lie unread before its connection is ended.
        adapters: folder from which adapters may be loaded while the server runs; None: none may.
        saves_prefixes: engines keep prompts' beginnings in files, and have to be told which.
        load_queue: requests that may wait for a bundle to be loaded.
        remembered_bytes: that responses may take which ``/v1/responses`` remembers, about.
        log_requests: a line for each answered request is wanted.
        behind_limit: tokens that wait for a reader of a stream; one that falls further behind loses its reply.
    """

    api_keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = LOOPBACK
    cors_origins: tuple[str, ...] = ()
    body_limit: int = 4 << 20
    body_seconds: float = 60.0
    depth_limit: int = 64
    replies_limit: int = 8
    markdown_limit: int = 100_000
    explain_characters: int = 20_000
    explain_tokens: int = 2048
    explain_queue: int = 8
    keep_alive_seconds: float = 10.0
    connections: int | None = None
    idle_seconds: float = 30.0
    stall_seconds: float = 60.0
    behind_limit: int = 4096
    adapters: Path | None = None
    saves_prefixes: bool = False
    load_queue: int = 64
    remembered_bytes: int = 64 << 20
    log_requests: bool = False
