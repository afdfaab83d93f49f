"""Origins of web pages that may use the server: as browsers write them, and what browsers ask before a page's request."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.http.problems import Problem

DEFAULT_PORTS = {"http": 80, "https": 443}
PRIVATE = "access-control-request-private-network"
HOST = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")


def origin(text: str) -> str:
    """An origin in the form in which browsers send it, so that a comparison of texts finds it.

    ``*`` is all, and ``null`` what pages in files have.

    Raises:
        UsageError: what can't be any page's origin.
    """
    given = text.strip()
    if given in ("*", "null"):
        return given
    wrong = f"--cors-origin {text!r} is no origin"
    if "://" not in given:
        likely = f"http://{given}" if re.fullmatch(r"[\w.-]+(:\d+)?/?", given) else "http://localhost:3000"
        raise UsageError(f"{wrong}: it names no scheme", hint=f"an origin is as {likely}, or * for all")
    if re.search(r"[\s,;]", given):
        raise UsageError(f"{wrong}: it is several", hint="repeat --cors-origin for each of them")
    try:
        parts = urlsplit(given)
        scheme, name, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"{wrong}: {error}", hint="an origin is as http://localhost:3000") from error
    host = _ascii(f"[{name}]" if ":" in name else name)
    bare = f"{scheme}://{host}" + ("" if port in (None, DEFAULT_PORTS.get(scheme)) else f":{port}")
    if "*" in given:
        raise UsageError(f"{wrong}: a part of it can't be *", hint="name each origin, or pass * alone for all")
    if not scheme or not HOST.fullmatch(host):
        raise UsageError(f"{wrong}: its host is {host!r}", hint="an origin is as http://localhost:3000")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"{wrong}, which ends with the host or its port", hint=f"pass {bare}")
    return bare


def _ascii(host: str) -> str:
    """Browsers write names in other scripts so."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


class CrossOrigin(CORSMiddleware):
    """starlette's, but a page that is let in may send any header (OpenAI's client in a page has eight of its own), and may be of
    another network than this server, where the browser asks for that."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Retry-After",),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        known = Headers(raw=[(name, value) for name, value in request_headers.raw if name != PRIVATE.encode()])
        response = super().preflight_response(known)
        if response.status_code != 200:
            asked = f"{request_headers['access-control-request-method'][:20]} for {request_headers['origin'][:200]}"
            return Problem(
                400,
                f"this server lets in no {asked}: --cors-origin says whom it does",
                code="wrong_origin",
                headers={"Vary": "Origin"},
            ).response()
        if request_headers.get(PRIVATE) == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response
