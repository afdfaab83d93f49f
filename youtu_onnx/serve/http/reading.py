"""From a body's bytes to JSON, strictly: UTF-8, no numbers that JSON can't say, no halves of characters.

FastAPI's own reading takes ``NaN`` for a number and ``\\ud800`` for text, which fail somewhere behind it, and has one sentence
for all that it can't read.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from youtu_onnx.serve.http.problems import Problem

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_FINITE = re.compile(r"NaN|Infinity|[eE]\+?\d{3}|\d{300}")
"""What is in a body where a number isn't finite."""
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(body: bytes) -> Any:
    """The value that a body says.

    Raises:
        Problem: it is no JSON, and why.
    """
    text = _decoded(body)
    if not text.strip():
        raise Problem(400, "the body is empty; send a JSON object", code="invalid_json")
    try:
        value = json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise Problem(
            400, f"the body is no JSON: {error.msg}, at line {error.lineno}, column {error.colno}", code="invalid_json"
        ) from error
    if _NOT_FINITE.search(text):
        _check_numbers(value, "")
    if _ESCAPED_SURROGATE.search(text):
        _check_characters(value)
    return value


class JsonRoute(APIRoute):
    """A route whose body is read by :func:`parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_and_handle(request: Request) -> Response:
            value = parse(await request.body())
            return await handle(_Read(request.scope, request.receive, value))

        return read_and_handle


class _Read(Request):
    """A request whose body was read."""

    def __init__(self, scope: Scope, receive: Receive, value: Any) -> None:
        super().__init__(scope, receive)
        self._value = value

    async def body(self) -> bytes:
        """Not empty, which is all that FastAPI asks of it."""
        return b"{}"

    async def json(self) -> Any:
        return self._value


def _decoded(body: bytes) -> str:
    if body.startswith(_UTF16) or b"\0" in body[:2]:
        raise Problem(400, "the body is UTF-16; JSON is sent as UTF-8", code="invalid_json")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(
            400, f"the body is not UTF-8, as JSON has to be: byte {error.start} is 0x{body[error.start]:02x}", code="invalid_json"
        ) from error


def _check_numbers(value: Any, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Problem(
            400, f"{place.lstrip('.')}: {value} is no number of JSON", param=place.lstrip(".") or None, code="invalid_value"
        )
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _check_numbers(inner, f"{place}.{name}")


def _whole(digits: str) -> int:
    if len(digits) > 400:  # more than a float can be, and Python itself reads no more than 4300
        raise Problem(400, f"a number of the body is too large: {digits[:40]}…", code="invalid_json")
    return int(digits)


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise Problem(
            400, f"the body has half of a surrogate pair, {half}, which is no character", code="invalid_json"
        ) from error
